/* doctor: what the kernel knows of pens on USB, who holds them, and whether udev's rule is applied. */
#include "doctor.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define USB_DEVICES "/sys/bus/usb/devices"
#define RULE "70-mn.rules"

static void check_rule(struct doctor *d)
{
    static const char *const folders[] = {"/etc/udev/rules.d", "/run/udev/rules.d", "/usr/local/lib/udev/rules.d", "/usr/lib/udev/rules.d",
                                          "/lib/udev/rules.d"};
    char path[64];

    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", folders[i], RULE);
        if (access(path, F_OK) == 0) {
            doctor_finds(d, GOOD, "udev rule", "%s", path);
            return;
        }
    }
    doctor_finds(d, d->kernel_pens > 0 ? BAD : NOTE, "udev rule", "%s is not installed: only root can open real pens", RULE);
    if (d->kernel_pens > 0)
        doctor_advises(d, "install udev/%s of this project to /etc/udev/rules.d, then: sudo udevadm control --reload && sudo udevadm trigger", RULE);
}

/* Reads a sysfs attribute of a device, without its newline. False if there is none. */
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

/* Whether the process has the file open. */
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

/* The pid of a process other than mnd that has the pen's device node open; 0 if there is none that this user can see. */
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

/* Whether the udev rule has been applied: the node is 0660 root:mnd, and autosuspend is off. */
static bool rule_is_applied(struct doctor *d, const char *what, const char *device, const char *node)
{
    const struct group *mnd = getgrnam("mnd");
    char power[16] = "?", user[NAME_MAX_BYTES], group[NAME_MAX_BYTES];
    struct stat st;

    if (stat(node, &st) < 0) {
        doctor_finds(d, BAD, what, "%s: %s", node, strerror(errno));
        doctor_advises(d, "replug the pen at %s; if its node stays away, is udev running?", device);
        return false;
    }
    attribute(device, "power/control", power, sizeof(power));
    if (mnd != NULL && st.st_gid == mnd->gr_gid && (st.st_mode & 0060) == 0060 && strcmp(power, "on") == 0)
        return true;
    doctor_finds(d, BAD, what, "%s is %s:%s, mode %04o, power/control %s: the rule is not applied to it", node, user_name(st.st_uid, user),
        group_name(st.st_gid, group), st.st_mode & 07777u, power);
    if (mnd == NULL)
        doctor_advises(d, "there is no group mnd: sudo systemd-sysusers, then: sudo udevadm control --reload && sudo udevadm trigger");
    else
        doctor_advises(d, "sudo udevadm control --reload && sudo udevadm trigger, then replug the pen");
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
            doctor_finds(d, GOOD, what, "pen %s at %s, open in mnd", serial, node);
    } else if (holder != 0) {
        doctor_finds(d, BAD, what, "pen %s at %s is held by %s, pid %u", serial, node, name, holder);
        doctor_advises(d, "end %s (pid %u), or leave the pen to it", name, holder);
    } else if (rule_is_applied(d, what, device, node)) {
        if (p != NULL && p->last_error[0] != '\0')
            doctor_finds(d, BAD, what, "pen %s at %s is not ready: %s", serial, node, p->last_error);
        else if (d->answers && !d->daemon.usb)
            doctor_finds(d, BAD, what, "pen %s at %s, and mnd was told to leave real pens alone", serial, node);
        else
            doctor_finds(d, BAD, what, "pen %s at %s is not open%s", serial, node, d->answers ? ", and mnd does not know it yet" : ": mnd does not answer");
        if (d->answers && !d->daemon.usb)
            doctor_advises(d, "start mnd without --no-usb and without usb: false in its configuration");
        else
            doctor_advises(d, "replug the pen at %s; if that does not help: journalctl -u mnd%s", device,
                 geteuid() != 0 ? "; and sudo mnctl doctor sees which program holds it" : "");
    }
}

void doctor_checks_kernel(struct doctor *d)
{
    char found[64][32];
    DIR *devices = opendir(USB_DEVICES);

    if (devices == NULL) {
        doctor_finds(d, NOTE, "kernel", "it has no USB: simulated pens only");
        return;
    }
    for (const struct dirent *e; (e = readdir(devices)) != NULL && d->kernel_pens < 64;) {
        if (strlen(e->d_name) < sizeof(found[0]) && is_pen(e->d_name))
            strcpy(found[d->kernel_pens++], e->d_name);
    }
    closedir(devices);
    check_rule(d);
    doctor_finds(d, d->kernel_pens > 0 ? GOOD : NOTE, "kernel", "it sees %u devices of %04x:%04x on USB", d->kernel_pens, MN_USB_VID, MN_USB_PID);
    for (unsigned i = 0; i < d->kernel_pens; i++)
        check_kernel_pen(d, found[i]);
}
