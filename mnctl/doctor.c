/* doctor: every joint between a person and a pen, looked at in order, and the next thing to do. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "mnctl.h"

enum verdict { GOOD, NOTE, BAD };

struct doctor {
    struct app *app;
    json_t *checks;
    char next[300];    /* what to do about the first bad thing */
    bool bad;
    bool answers;      /* mnd does */
    struct mn_daemon daemon;
    struct mn_pens pens;
    unsigned kernel_pens;
};

#define USB_DEVICES "/sys/bus/usb/devices"
#define RULE "70-mn.rules"

static void say(struct doctor *d, enum verdict v, const char *what, const char *format, ...) __attribute__((format(printf, 4, 5)));
static void then(struct doctor *d, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct doctor *d, enum verdict v, const char *what, const char *format, ...)
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

/* What to do about what was just said; the first of them is the next thing. */
static void then(struct doctor *d, const char *format, ...)
{
    va_list ap;

    if (d->next[0] != '\0')
        return;
    va_start(ap, format);
    vsnprintf(d->next, sizeof(d->next), format, ap);
    va_end(ap);
}

enum { NAME_MAX_BYTES = 40 };

static const char *group_name(gid_t gid, char out[NAME_MAX_BYTES])
{
    const struct group *g = getgrgid(gid);

    snprintf(out, NAME_MAX_BYTES, "%u", (unsigned)gid);
    if (g != NULL)
        snprintf(out, NAME_MAX_BYTES, "%s", g->gr_name);
    return out;
}

static const char *user_name(uid_t uid, char out[NAME_MAX_BYTES])
{
    const struct passwd *p = getpwuid(uid);

    snprintf(out, NAME_MAX_BYTES, "%u", (unsigned)uid);
    if (p != NULL)
        snprintf(out, NAME_MAX_BYTES, "%s", p->pw_name);
    return out;
}

/* In the group by the book, though perhaps not yet in this session. */
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
            say(d, BAD, "socket", "%s does not exist", path);
        else
            say(d, BAD, "socket", "%s: %s", path, strerror(errno));
        then(d, "start the daemon: sudo systemctl start mnd.socket; or, to try simulated pens: mnd --sim --socket /tmp/mnd.sock");
    } else if (!S_ISSOCK(st.st_mode)) {
        say(d, BAD, "socket", "%s is no socket", path);
        then(d, "name the daemon's socket with --socket or MN_SOCKET");
    } else if (access(path, R_OK | W_OK) < 0) {
        group_name(st.st_gid, group);
        user_name(getuid(), user);
        say(d, BAD, "socket", "%s is for group %s (mode %04o), and %s is not in it%s", path, group, st.st_mode & 07777u, user,
            is_member(st.st_gid) ? " in this session" : "");
        if (st.st_gid == 0)
            then(d, "create group mnd (sudo systemd-sysusers) and restart mnd: its socket is for nobody but root yet");
        else if (is_member(st.st_gid))
            then(d, "log in anew: %s was added to group %s after this session began", user, group);
        else
            then(d, "sudo usermod -aG %s %s, then log in anew", group, user);
    } else {
        say(d, GOOD, "socket", "%s, group %s, mode %04o: open to %s", path, group_name(st.st_gid, group), st.st_mode & 07777u, user_name(getuid(), user));
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
        say(d, GOOD, "mnd", "version %s, pid %" PRIu32 ", up %.0f s, %" PRIu32 " other programs connected", d->daemon.version, d->daemon.pid,
            (double)d->daemon.uptime_ms / 1000, d->daemon.clients - 1);
        return;
    }
    say(d, BAD, "mnd", "%s", message[0] != '\0' ? message : mn_message(d->app->client));
    if (r == MN_ERR_VERSION)
        then(d, "install mnctl and mnd of the same release, and restart mnd");
    else
        then(d, "see what the daemon says: journalctl -u mnd; and restart it: sudo systemctl restart mnd");
}

/* ---- udev and the kernel ---- */

static void check_rule(struct doctor *d)
{
    static const char *const folders[] = {"/etc/udev/rules.d", "/run/udev/rules.d", "/usr/local/lib/udev/rules.d", "/usr/lib/udev/rules.d",
                                          "/lib/udev/rules.d"};
    char path[64];

    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", folders[i], RULE);
        if (access(path, F_OK) == 0) {
            say(d, GOOD, "udev rule", "%s", path);
            return;
        }
    }
    say(d, d->kernel_pens > 0 ? BAD : NOTE, "udev rule", "%s is not installed: only root can open real pens", RULE);
    if (d->kernel_pens > 0)
        then(d, "install udev/%s of this project to /etc/udev/rules.d, then: sudo udevadm control --reload && sudo udevadm trigger", RULE);
}

/* A line of a device's folder in sysfs, without its newline; false: there is none. */
static bool attribute(const char *device, const char *name, char *out, size_t cap)
{
    char path[PATH_MAX];
    FILE *f;
    bool ok;

    snprintf(path, sizeof(path), USB_DEVICES "/%.255s/%s", device, name);
    f = fopen(path, "re");
    ok = f != NULL && fgets(out, (int)cap, f) != NULL;
    if (f != NULL)
        fclose(f);
    out[ok ? strcspn(out, "\n") : 0] = '\0';
    return ok;
}

static bool is_pen(const char *device)
{
    char vid[16], pid[16];

    return attribute(device, "idVendor", vid, sizeof(vid)) && attribute(device, "idProduct", pid, sizeof(pid)) &&
           strtoul(vid, NULL, 16) == MN_USB_VID && strtoul(pid, NULL, 16) == MN_USB_PID;
}

/* Does the process have the file open? */
static bool has_open(const char *pid, const char *file)
{
    char folder[300], link[600], target[PATH_MAX];
    bool found = false;
    DIR *fds;

    snprintf(folder, sizeof(folder), "/proc/%.20s/fd", pid);
    fds = opendir(folder);
    if (fds == NULL)
        return false;
    for (const struct dirent *e; !found && (e = readdir(fds)) != NULL;) {
        ssize_t n;

        snprintf(link, sizeof(link), "%s/%.255s", folder, e->d_name);
        n = readlink(link, target, sizeof(target) - 1);
        found = n > 0 && (size_t)n == strlen(file) && memcmp(target, file, (size_t)n) == 0;
    }
    closedir(fds);
    return found;
}

/* A program other than mnd that has the pen's node open; 0: none that this user may see. */
static unsigned other_holder(const struct doctor *d, const char *node, char *name, size_t cap)
{
    DIR *processes = opendir("/proc");
    unsigned holder = 0;
    char path[64];

    name[0] = '\0';
    for (const struct dirent *e; processes != NULL && holder == 0 && (e = readdir(processes)) != NULL;) {
        if (isdigit((unsigned char)e->d_name[0]) && strtoul(e->d_name, NULL, 10) != d->daemon.pid && has_open(e->d_name, node))
            holder = (unsigned)strtoul(e->d_name, NULL, 10);
    }
    if (processes != NULL)
        closedir(processes);
    if (holder != 0) {
        FILE *f;

        snprintf(path, sizeof(path), "/proc/%u/comm", holder);
        f = fopen(path, "re");
        if (f == NULL || fgets(name, (int)cap, f) == NULL)
            snprintf(name, cap, "?");
        name[strcspn(name, "\n")] = '\0';
        if (f != NULL)
            fclose(f);
    }
    return holder;
}

static const struct mn_pen *pen_at(const struct doctor *d, const char *device)
{
    char port[40];

    snprintf(port, sizeof(port), "usb %.30s", device);
    for (size_t i = 0; i < d->pens.count; i++) {
        if (strcmp(d->pens.pen[i].port, port) == 0)
            return &d->pens.pen[i];
    }
    return NULL;
}

/* The rule's work on the node: 0660 root:mnd, and no autosuspend. */
static bool rule_is_applied(struct doctor *d, const char *what, const char *device, const char *node)
{
    const struct group *mnd = getgrnam("mnd");
    char power[16] = "?", user[NAME_MAX_BYTES], group[NAME_MAX_BYTES];
    struct stat st;

    if (stat(node, &st) < 0) {
        say(d, BAD, what, "%s: %s", node, strerror(errno));
        then(d, "replug the pen at %s; if its node stays away, is udev running?", device);
        return false;
    }
    attribute(device, "power/control", power, sizeof(power));
    if (mnd != NULL && st.st_gid == mnd->gr_gid && (st.st_mode & 0060) == 0060 && strcmp(power, "on") == 0)
        return true;
    say(d, BAD, what, "%s is %s:%s, mode %04o, power/control %s: the rule is not applied to it", node, user_name(st.st_uid, user),
        group_name(st.st_gid, group), st.st_mode & 07777u, power);
    if (mnd == NULL)
        then(d, "there is no group mnd: sudo systemd-sysusers, then: sudo udevadm control --reload && sudo udevadm trigger");
    else
        then(d, "sudo udevadm control --reload && sudo udevadm trigger, then replug the pen");
    return false;
}

static void check_kernel_pen(struct doctor *d, const char *device)
{
    const struct mn_pen *p = pen_at(d, device);
    char what[32], serial[64], bus[16], number[16], node[64], name[64];
    unsigned holder;

    snprintf(what, sizeof(what), "usb %.20s", device);
    attribute(device, "serial", serial, sizeof(serial));
    attribute(device, "busnum", bus, sizeof(bus));
    attribute(device, "devnum", number, sizeof(number));
    snprintf(node, sizeof(node), "/dev/bus/usb/%03lu/%03lu", strtoul(bus, NULL, 10), strtoul(number, NULL, 10));
    holder = other_holder(d, node, name, sizeof(name));
    if (p != NULL && p->link == MN_LINK_READY) {
        if (rule_is_applied(d, what, device, node))
            say(d, GOOD, what, "pen %s at %s, open in mnd", serial, node);
    } else if (holder != 0) {
        say(d, BAD, what, "pen %s at %s is held by %s, pid %u", serial, node, name, holder);
        then(d, "end %s (pid %u), or leave the pen to it", name, holder);
    } else if (rule_is_applied(d, what, device, node)) {
        if (p != NULL && p->last_error[0] != '\0')
            say(d, BAD, what, "pen %s at %s is not ready: %s", serial, node, p->last_error);
        else if (d->answers && !d->daemon.usb)
            say(d, BAD, what, "pen %s at %s, and mnd was told to leave real pens alone", serial, node);
        else
            say(d, BAD, what, "pen %s at %s is not open%s", serial, node, d->answers ? ", and mnd does not know it yet" : ": mnd does not answer");
        if (d->answers && !d->daemon.usb)
            then(d, "start mnd without --no-usb and without usb: false in its configuration");
        else
            then(d, "replug the pen at %s; if that does not help: journalctl -u mnd%s", device,
                 geteuid() != 0 ? "; and sudo mnctl doctor sees which program holds it" : "");
    }
}

static void check_kernel(struct doctor *d)
{
    char found[64][32];
    DIR *devices = opendir(USB_DEVICES);

    if (devices == NULL) {
        say(d, NOTE, "kernel", "it has no USB: simulated pens only");
        return;
    }
    for (const struct dirent *e; (e = readdir(devices)) != NULL && d->kernel_pens < 64;) {
        if (strlen(e->d_name) < sizeof(found[0]) && is_pen(e->d_name))
            strcpy(found[d->kernel_pens++], e->d_name);
    }
    closedir(devices);
    check_rule(d);
    say(d, d->kernel_pens > 0 ? GOOD : NOTE, "kernel", "it sees %u devices of %04x:%04x on USB", d->kernel_pens, MN_USB_VID, MN_USB_PID);
    for (unsigned i = 0; i < d->kernel_pens; i++)
        check_kernel_pen(d, found[i]);
}

/* ---- links, and room ---- */

static void check_link(struct doctor *d, const struct mn_pen *p)
{
    uint64_t wrong = p->bad_frames + p->sequence_gaps;
    char faults[200];

    if (p->link != MN_LINK_READY && d->kernel_pens > 0 && strncmp(p->port, "usb ", 4) == 0)
        return; /* check_kernel_pen() has said it */
    if (p->link != MN_LINK_READY) {
        say(d, BAD, p->port, "%s: %s", mn_link_name(p->link), p->last_error[0] != '\0' ? p->last_error : "it is being opened");
        then(d, "%s", p->last_error[0] != '\0' ? p->last_error : "wait a moment, and ask again");
        return;
    }
    format_faults(p->fault_word, faults, sizeof(faults));
    /* one in a thousand may come from plugging in; more is a cable */
    say(d, wrong * 1000 > p->frames_in ? BAD : GOOD, p->port,
        "link of %s: %" PRIu64 " frames, %" PRIu64 " bad, %" PRIu64 " lost, %" PRIu64 " late, %" PRIu64 " foreign, %" PRIu64
        " sessions; firmware %s, %s, faults: %s",
        p->serial, p->frames_in, p->bad_frames, p->sequence_gaps, p->late_frames, p->foreign_frames, p->sessions, p->firmware_version,
        mn_state_name(p->state), faults);
    if (wrong * 1000 > p->frames_in)
        then(d, "give pen %s another cable, or another port without a hub", p->serial);
}

/* What the pen itself says is wrong with it, and what to do: the gravest first. */
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
            say(d, f->priority == 'L' ? NOTE : BAD, p->serial, "%u %s: %s", f->code, f->name, f->text);
            if (f->priority != 'L' || f->code == 1301)
                then(d, "pen %s: %s", p->serial, f->cure);
        }
    }
    if (p->cartridge == MN_CARTRIDGE_USED || p->cartridge == MN_CARTRIDGE_EXPIRED || p->cartridge == MN_CARTRIDGE_UNREADABLE || p->cartridge == MN_CARTRIDGE_REJECTED) {
        snprintf(what, sizeof(what), "the cartridge in it is %s", mn_cartridge_name(p->cartridge));
        say(d, NOTE, p->serial, "%s: the next session wants a new one", what);
    }
    if (p->trigger && p->state == MN_STATE_SAFE)
        say(d, NOTE, p->serial, "its trigger is pressed: it becomes 1801 TRIGGER_STUCK after 120 s");
    if (p->state == MN_STATE_FAULT && p->fault_word == 0)
        say(d, BAD, p->serial, "it is in FAULT, for a reason that this mnctl does not know");
}

/* The user that a process runs as; false: it cannot be seen. */
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
        say(d, BAD, "journal", "%s belongs to %s, and mnd runs as %s", d->daemon.journal_path, user_name(st.st_uid, owner), user_name(uid, runs_as));
        then(d, "sudo chown %s %s, and its -wal, -shm and .lock beside it", runs_as, d->daemon.journal_path);
        return;
    }
    if (d->daemon.journal_error[0] == '\0') {
        say(d, GOOD, "journal", "records are written%s%s", d->daemon.journal_path[0] != '\0' ? " to " : "", d->daemon.journal_path);
        return;
    }
    say(d, BAD, "journal", "%s; records stay in their pens, and nothing can be armed", d->daemon.journal_error);
    then(d, "give the journal a place to write; mnd tries again by itself while it runs, and at its start");
}

static void check_clock(struct doctor *d)
{
    char why[160];
    bool right;
    int r = d->answers && d->daemon.journal_error[0] == '\0' ? clock_judge(d->app, &right, why, sizeof(why)) : MN_OK;

    if (!d->answers || d->daemon.journal_error[0] != '\0')
        return;
    if (r != MN_OK) {
        say(d, NOTE, "clock", "%s", mn_message(d->app->client));
        return;
    }
    say(d, right ? GOOD : BAD, "clock", "%s", right ? "it is not behind what the journal has seen" : why);
    if (!right)
        then(d, "set this machine's clock right; if it is right now, mnctl clock confirm");
}

static void check_disk(struct doctor *d)
{
    char path[sizeof(d->daemon.journal_path)];
    struct statvfs s;
    double mib;

    snprintf(path, sizeof(path), "%s", d->answers && d->daemon.journal_path[0] == '/' ? d->daemon.journal_path : "/var/lib/mnd/journal.db");
    do { /* the nearest folder that this user may see */
        *strrchr(path, '/') = '\0';
    } while (strrchr(path, '/') != NULL && path[0] != '\0' && access(path, F_OK) < 0);
    if (path[0] == '\0')
        strcpy(path, "/");

    if (statvfs(path, &s) < 0) {
        say(d, NOTE, "disk", "%s: %s", path, strerror(errno));
        return;
    }
    mib = (double)s.f_bavail * (double)s.f_frsize / 1048576;
    say(d, mib < 100 ? BAD : GOOD, "disk", "%.0f MiB free at %s", mib, path);
    if (mib < 100)
        then(d, "make room at %s: at least 100 MiB", path);
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
    check_kernel(&d);
    for (size_t i = 0; i < d.pens.count; i++)
        check_link(&d, &d.pens.pen[i]);
    for (size_t i = 0; i < d.pens.count; i++)
        check_pen(&d, &d.pens.pen[i]);
    check_journal(&d);
    check_clock(&d);
    check_disk(&d);
    if (d.next[0] == '\0' && d.pens.count == 0)
        then(&d, "plug a pen in");
    if (d.next[0] == '\0')
        then(&d, "nothing: all is well");
    mn_pens_free(&d.pens);
    if (a->json) {
        print_json(json_pack("{s:o, s:b, s:s}", "checks", d.checks, "well", !d.bad, "next", d.next), false);
    } else {
        printf("%snext: %s%s\n", colour(COLOUR_BOLD), d.next, colour(COLOUR_NONE));
        json_decref(d.checks);
    }
    return d.bad ? EXIT_ERROR : EXIT_OK;
}
