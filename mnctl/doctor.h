/* doctor: doctor.c has the daemon, pens, journal and disk, doctor_usb.c what the kernel knows. */
#pragma once

#include <sys/types.h>

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

void doctor_finds(struct doctor *d, enum verdict v, const char *what, const char *format, ...) __attribute__((format(printf, 4, 5)));
/* What to do about what was just found; the first advice is the next thing to do. */
void doctor_advises(struct doctor *d, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A group's or a user's name, or its number. */
enum { NAME_MAX_BYTES = 40 };
const char *group_name(gid_t gid, char out[NAME_MAX_BYTES]);
const char *user_name(uid_t uid, char out[NAME_MAX_BYTES]);

/* What the kernel has, and who holds it. */
void doctor_checks_kernel(struct doctor *d);
