/* doctor: checks everything between a user and a pen in order, and says what to do next. */
#include "doctor.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

void doctor_finds(struct doctor *d, enum verdict v, const char *what, const char *format, ...)
{
    static const char *const names[] = {"ok", "note", "BAD"};
    static const enum colour colours[] = {COLOUR_GOOD, COLOUR_WARN, COLOUR_BAD};
    char text[400];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    d->bad |= v == BAD;
    json_array_append_new(d->checks, json_pack("{s:s, s:s, s:s}", "check", what, "verdict", names[v], "text", text));
    if (d->app->json)
        return;
    printf("%s%-4s%s  %-18s ", colour(colours[v]), names[v], colour(COLOUR_NONE), what);
    print_tail(strlen(what) > 18 ? strlen(what) + 7 : 25, text);
}

/* Advice on the last finding. The first advice given is printed as the next thing to do. */
void doctor_advises(struct doctor *d, const char *format, ...)
{
    va_list ap;

    if (d->next[0] != '\0')
        return;
    va_start(ap, format);
    vsnprintf(d->next, sizeof(d->next), format, ap);
    va_end(ap);
}

const char *group_name(gid_t gid, char out[NAME_MAX_BYTES])
{
    const struct group *g = getgrgid(gid);

    snprintf(out, NAME_MAX_BYTES, "%u", (unsigned)gid);
    if (g != NULL)
        snprintf(out, NAME_MAX_BYTES, "%s", g->gr_name);
    return out;
}

const char *user_name(uid_t uid, char out[NAME_MAX_BYTES])
{
    const struct passwd *p = getpwuid(uid);

    snprintf(out, NAME_MAX_BYTES, "%u", (unsigned)uid);
    if (p != NULL)
        snprintf(out, NAME_MAX_BYTES, "%s", p->pw_name);
    return out;
}

/* Whether /etc/group has the user in the group; a login session from before may not have it yet. */
static bool is_member(gid_t gid)
{
    const struct passwd *p = getpwuid(getuid());
    gid_t groups[256];
    int n = 256;

    if (p == NULL || getgrouplist(p->pw_name, p->pw_gid, groups, &n) < 0)
        return false;
    for (int i = 0; i < n; i++) {
        if (groups[i] == gid)
            return true;
    }
    return false;
}

/* ---- the daemon ---- */

static void check_socket(struct doctor *d, const char *path)
{
    char group[NAME_MAX_BYTES], user[NAME_MAX_BYTES];
    struct stat st;

    if (stat(path, &st) < 0) {
        if (errno == ENOENT)
            doctor_finds(d, BAD, "socket", "%s does not exist", path);
        else
            doctor_finds(d, BAD, "socket", "%s: %s", path, strerror(errno));
        doctor_advises(d, "start the daemon: sudo systemctl start mnd.socket; or, to try simulated pens: mnd --sim --socket /tmp/mnd.sock");
    } else if (!S_ISSOCK(st.st_mode)) {
        doctor_finds(d, BAD, "socket", "%s is no socket", path);
        doctor_advises(d, "name the daemon's socket with --socket or MN_SOCKET");
    } else if (access(path, R_OK | W_OK) < 0) {
        group_name(st.st_gid, group);
        user_name(getuid(), user);
        doctor_finds(d, BAD, "socket", "%s is for group %s (mode %04o), and %s is not in it%s", path, group, st.st_mode & 07777u, user,
            is_member(st.st_gid) ? " in this session" : "");
        if (st.st_gid == 0)
            doctor_advises(d, "create group mnd (sudo systemd-sysusers) and restart mnd: its socket is for nobody but root yet");
        else if (is_member(st.st_gid))
            doctor_advises(d, "log in anew: %s was added to group %s after this session began", user, group);
        else
            doctor_advises(d, "sudo usermod -aG %s %s, then log in anew", group, user);
    } else {
        doctor_finds(d, GOOD, "socket", "%s, group %s, mode %04o: open to %s", path, group_name(st.st_gid, group), st.st_mode & 07777u, user_name(getuid(), user));
    }
}

static void check_daemon(struct doctor *d)
{
    struct mn_options o = {.socket = d->app->socket, .name = "mnctl doctor", .timeout_ms = d->app->timeout_ms};
    char message[400] = "";
    int r = mn_connect(&d->app->client, &o, message, sizeof(message));

    if (r == MN_OK && (r = mn_daemon_info(d->app->client, &d->daemon, d->app->timeout_ms)) == MN_OK)
        r = mn_list(d->app->client, &d->pens, d->app->timeout_ms);
    d->answers = r == MN_OK;
    if (r == MN_OK) {
        doctor_finds(d, GOOD, "mnd", "version %s, pid %" PRIu32 ", up %.0f s, %" PRIu32 " other programs connected", d->daemon.version, d->daemon.pid,
            (double)d->daemon.uptime_ms / 1000, d->daemon.clients - 1);
        return;
    }
    doctor_finds(d, BAD, "mnd", "%s", message[0] != '\0' ? message : mn_message(d->app->client));
    if (r == MN_ERR_VERSION)
        doctor_advises(d, "install mnctl and mnd of the same release, and restart mnd");
    else
        doctor_advises(d, "see what the daemon says: journalctl -u mnd; and restart it: sudo systemctl restart mnd");
}

/* ---- pens, the journal, the disk ---- */

static void check_link(struct doctor *d, const struct mn_pen *p)
{
    uint64_t wrong = p->bad_frames + p->sequence_gaps;
    char faults[200];

    if (p->link != MN_LINK_READY && d->kernel_pens > 0 && strncmp(p->port, "usb ", 4) == 0)
        return; /* check_kernel_pen() has reported it */
    if (p->link != MN_LINK_READY) {
        doctor_finds(d, BAD, p->port, "%s: %s", mn_link_name(p->link), p->last_error[0] != '\0' ? p->last_error : "it is being opened");
        doctor_advises(d, "%s", p->last_error[0] != '\0' ? p->last_error : "wait a moment, and ask again");
        return;
    }
    format_faults(p->fault_word, faults, sizeof(faults));
    /* plugging in can damage one frame in a thousand; more than that means a bad cable */
    doctor_finds(d, wrong * 1000 > p->frames_in ? BAD : GOOD, p->port,
        "link of %s: %" PRIu64 " frames, %" PRIu64 " bad, %" PRIu64 " lost, %" PRIu64 " late, %" PRIu64 " foreign, %" PRIu64
        " sessions; firmware %s, %s, faults: %s",
        p->serial, p->frames_in, p->bad_frames, p->sequence_gaps, p->late_frames, p->foreign_frames, p->sessions, p->firmware_version,
        mn_state_name(p->state), faults);
    if (wrong * 1000 > p->frames_in)
        doctor_advises(d, "give pen %s another cable, or another port without a hub", p->serial);
}

/* The faults that the pen reports and what to do about them, the most severe first. */
static void check_pen(struct doctor *d, const struct mn_pen *p)
{
    static const char priorities[] = "HML";
    char what[60];

    if (p->link != MN_LINK_READY)
        return;
    for (const char *priority = priorities; *priority != '\0'; priority++) {
        for (size_t bit = 0; bit < mn_fault_count(); bit++) {
            const struct mn_fault *f = mn_fault_at(bit);

            if (!(p->fault_word >> bit & 1) || f->priority != *priority)
                continue;
            doctor_finds(d, f->priority == 'L' ? NOTE : BAD, p->serial, "%u %s: %s", f->code, f->name, f->text);
            if (f->priority != 'L' || f->code == 1301)
                doctor_advises(d, "pen %s: %s", p->serial, f->cure);
        }
    }
    if (p->cartridge == MN_CARTRIDGE_USED || p->cartridge == MN_CARTRIDGE_EXPIRED || p->cartridge == MN_CARTRIDGE_UNREADABLE || p->cartridge == MN_CARTRIDGE_REJECTED) {
        snprintf(what, sizeof(what), "the cartridge in it is %s", mn_cartridge_name(p->cartridge));
        doctor_finds(d, NOTE, p->serial, "%s: the next session wants a new one", what);
    }
    if (p->trigger && p->state == MN_STATE_SAFE)
        doctor_finds(d, NOTE, p->serial, "its trigger is pressed: it becomes 1801 TRIGGER_STUCK after 120 s");
    if (p->state == MN_STATE_FAULT && p->fault_word == 0)
        doctor_finds(d, BAD, p->serial, "it is in FAULT, for a reason that this mnctl does not know");
}

/* The user that a process runs as. False if /proc does not show it. */
static bool owner_of(uint32_t pid, uid_t *uid)
{
    struct stat st;
    char path[40];

    snprintf(path, sizeof(path), "/proc/%" PRIu32, pid);
    if (stat(path, &st) < 0)
        return false;
    *uid = st.st_uid;
    return true;
}

static void check_journal(struct doctor *d)
{
    char owner[NAME_MAX_BYTES], runs_as[NAME_MAX_BYTES];
    struct stat st;
    uid_t uid;

    if (!d->answers)
        return;
    if (d->daemon.journal_error[0] == '\0' && d->daemon.journal_path[0] != '\0' && stat(d->daemon.journal_path, &st) == 0 && owner_of(d->daemon.pid, &uid) && st.st_uid != uid) {
        doctor_finds(d, BAD, "journal", "%s belongs to %s, and mnd runs as %s", d->daemon.journal_path, user_name(st.st_uid, owner), user_name(uid, runs_as));
        doctor_advises(d, "sudo chown %s %s, and its -wal, -shm and .lock beside it", runs_as, d->daemon.journal_path);
        return;
    }
    if (d->daemon.journal_error[0] == '\0') {
        doctor_finds(d, GOOD, "journal", "records are written%s%s", d->daemon.journal_path[0] != '\0' ? " to " : "", d->daemon.journal_path);
        return;
    }
    doctor_finds(d, BAD, "journal", "%s; records stay in their pens, and nothing can be armed", d->daemon.journal_error);
    doctor_advises(d, "give the journal a place to write; mnd tries again by itself while it runs, and at its start");
}

static void check_clock(struct doctor *d)
{
    char why[160];
    bool right;
    int r = d->answers && d->daemon.journal_error[0] == '\0' ? clock_judge(d->app, &right, why, sizeof(why)) : MN_OK;

    if (!d->answers || d->daemon.journal_error[0] != '\0')
        return;
    if (r != MN_OK) {
        doctor_finds(d, NOTE, "clock", "%s", mn_message(d->app->client));
        return;
    }
    doctor_finds(d, right ? GOOD : BAD, "clock", "%s", right ? "it is not behind what the journal has seen" : why);
    if (!right)
        doctor_advises(d, "set this machine's clock right; if it is right now, mnctl clock confirm");
}

static void check_disk(struct doctor *d)
{
    char path[sizeof(d->daemon.journal_path)];
    struct statvfs s;
    double mib;

    snprintf(path, sizeof(path), "%s", d->answers && d->daemon.journal_path[0] == '/' ? d->daemon.journal_path : "/var/lib/mnd/journal.db");
    do { /* the nearest folder above it that this user can read */
        *strrchr(path, '/') = '\0';
    } while (strrchr(path, '/') != NULL && path[0] != '\0' && access(path, F_OK) < 0);
    if (path[0] == '\0')
        strcpy(path, "/");

    if (statvfs(path, &s) < 0) {
        doctor_finds(d, NOTE, "disk", "%s: %s", path, strerror(errno));
        return;
    }
    mib = (double)s.f_bavail * (double)s.f_frsize / 1048576;
    doctor_finds(d, mib < 100 ? BAD : GOOD, "disk", "%.0f MiB free at %s", mib, path);
    if (mib < 100)
        doctor_advises(d, "make room at %s: at least 100 MiB", path);
}

int cmd_doctor(struct app *a, int argc, char **argv)
{
    struct doctor d = {.app = a, .checks = json_array()};
    const char *path = a->socket != NULL ? a->socket : mn_default_socket();

    if (argc > 1) {
        json_decref(d.checks);
        return usage_error("doctor takes no %s", argv[1]);
    }
    check_socket(&d, path);
    check_daemon(&d);
    doctor_checks_kernel(&d);
    for (size_t i = 0; i < d.pens.count; i++)
        check_link(&d, &d.pens.pen[i]);
    for (size_t i = 0; i < d.pens.count; i++)
        check_pen(&d, &d.pens.pen[i]);
    check_journal(&d);
    check_clock(&d);
    check_disk(&d);
    if (d.next[0] == '\0' && d.pens.count == 0)
        doctor_advises(&d, "plug a pen in");
    if (d.next[0] == '\0')
        doctor_advises(&d, "nothing: all is well");
    mn_pens_free(&d.pens);
    if (a->json) {
        print_json(json_pack("{s:o, s:b, s:s}", "checks", d.checks, "well", !d.bad, "next", d.next), false);
    } else {
        printf("%snext: %s%s\n", colour(COLOUR_BOLD), d.next, colour(COLOUR_NONE));
        json_decref(d.checks);
    }
    return d.bad ? EXIT_ERROR : EXIT_OK;
}
