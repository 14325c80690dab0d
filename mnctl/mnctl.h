/*
 * mnctl: what its commands share. A command is a function that takes its words and returns an exit code.
 */
#pragma once

#include <jansson.h>
#include <mn/mn.h>
#include <stdio.h>

#include "quantity.h"
#include "terminal.h"
#include "words.h"

/* Documented in `mnctl help exit`. */
enum {
    EXIT_OK = 0,
    EXIT_ERROR = 1,       /* anything else */
    EXIT_USAGE = 2,       /* the words were wrong */
    EXIT_NO_DAEMON = 3,   /* not running, or no permission on its socket */
    EXIT_NO_PEN = 4,      /* no such pen, several to choose from, or not ready */
    EXIT_REFUSED = 5,     /* out of range, wrong state, a fault, a conflict */
    EXIT_NO_ANSWER = 6,   /* timeout, unplugged or disconnected meanwhile */
};

struct app {
    const char *socket;
    const char *pen;    /* --pen: serial or unique prefix; NULL */
    bool json;
    int timeout_ms;
    mn_client *client;
    mn_event_fn *on_event; /* set before app_connect() by commands that want events */
    void *event_user;
    bool noticed;          /* by on_event: what is shown has changed; person_wait() ends then */
    char serial[MN_SERIAL_MAX + 1]; /* of the chosen pen */
};

/* 0, or an exit code after a sentence on stderr. */
int app_connect(struct app *a, bool reconnect);
/* Connects, and chooses the pen: --pen, or the only one there is. */
int app_choose(struct app *a);
/* Connects without a word; false: there is no daemon for it. */
bool app_connect_quietly(struct app *a);
/* For what only shows: each pen that --pen names, or all of them; one(a) is called with a->serial set. The worst of what it returned. Between two
 * of them an empty line; of --json one object after the other. */
int app_each(struct app *a, int (*one)(struct app *a));
/* The pens' serial numbers begin with this; the exit code after a sentence if that is none or several. */
int app_find(struct app *a, const char *prefix);

/* SIGINT and SIGTERM no longer end the program; they are only noted. */
void catch_interrupt(void);
bool is_interrupted(void);

/* Events come until Ctrl-C, the time is up (seconds 0: never), the daemon goes for good, or out (NULL: stdout) takes no more. */
int app_follow(struct app *a, FILE *out, double seconds);

/* One wait for the client, and what it brings; a libmn error ends it with a sentence. */
int app_wait(struct app *a);

/* Says the client's last error and returns its exit code. */
int app_failed(struct app *a, int error);
/* Says the sentence on stderr and, unless it names a command already, the one whose help is wanted here; returns EXIT_USAGE. */
int usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The command that is being carried out: usage_error() names its help. */
void usage_is_of(const char *command);
/* Prints the JSON on one line (in lines: many) or indented, and frees it. Returns EXIT_OK, or EXIT_ERROR if stdout failed. */
int print_json(json_t *j, bool one_line);
/* stdout has taken everything: else a sentence and EXIT_ERROR. */
int flush_output(void);

/* A file to write into, - for stdout; NULL after a sentence. mode as of fopen(). Its end: EXIT_OK, and its path is printed, or EXIT_ERROR after a sentence. */
FILE *output_open(const char *path, bool force);
int output_close(FILE *out, const char *path);

/* The last column of a row, which begins at column `at`: on a terminal wrapped by words below itself (or, where that is too narrow, with an indent of
 * 4), else on one line, for grep. Ends the line. */
void print_tail(size_t at, const char *text);

/* A path that nothing stands at, unless force: else a sentence and false. */
bool may_write(const char *path, bool force);

/* ---- values with units: people's are mm and Hz, programs' um and dhz ---- */

enum { WHY_MAX = 320 };

/* "1.2mm" for a setting: in its own unit. own_unit: a number alone is in that unit, too. False: why says what is wrong. */
bool parse_setting_value(size_t setting, const char *text, bool own_unit, uint32_t *value, char why[WHY_MAX]);
/* "depth=1.2mm": the setting's index and its value in the setting's own unit; an exit code after a sentence. */
int parse_assignment(const char *word, size_t *setting, uint32_t *value);
/* The index of a setting by its name or short name; an exit code after a sentence. */
int parse_setting(const char *word, size_t *setting);
/* An option's whole number within low..high; an exit code after a sentence. */
int parse_number(const char *option, const char *text, uint64_t low, uint64_t high, uint64_t *out);
/* "10", "0.5s", "5min": more than 0; an exit code after a sentence. */
int parse_seconds(const char *option, const char *text, double *out);
/* "depth", as people call a setting. */
const char *setting_short_name(size_t setting);
/* "1.20 mm", "120.0 Hz", "off", "30 s". */
void format_setting(size_t setting, uint32_t value, char *out, size_t cap);
/* "Wed 2 Dec"; with the year if it is not this one. */
void format_day(uint64_t us, char *out, size_t cap);
/* "Wed 2026-11-21 19:30" */
void format_minute(uint64_t us, char *out, size_t cap);
/* "today", "3 days ago", "in 5 days": from now. */
void format_distance(uint64_t us, char *out, size_t cap);

json_t *json_fault_word(uint32_t word);
json_t *json_config(const struct mn_config *config);
/* "1101 MOTOR_STALL, 1401 BATTERY_LOW"; "none". */
void format_faults(uint32_t word, char *out, size_t cap);

/* Each fault of the word on lines of its own: what it means and what to do. Indented by so much; nothing for none. */
void print_faults(uint32_t word, size_t indent);

/* "CHEEK"; "?" for no zone that is known. */
const char *zone_name(unsigned number);

/* ---- records ---- */

/* "2026-11-21 08:30:00.000", local time. */
void format_time(uint64_t us, char *out, size_t cap);
/* For programs, and for who reads it elsewhere: RFC 3339, local, with the offset: "2026-11-25T09:42:12.125+01:00". */
void format_rfc3339(uint64_t us, char *out, size_t cap);
/* What it says, without when and of which pen. */
void format_record(const struct mn_record *r, char *out, size_t cap);
json_t *json_record(const struct mn_record *r);
/* "+-1.0 ms"; "" for the daemon's own notes. */
void format_bound(const struct mn_record *r, char *out, size_t cap);
/* As --after takes it. */
void format_cursor(const struct mn_cursor *c, char *out, size_t cap);
/* `faults show`: argv[0] is "show". */
int faults_show(struct app *a, int argc, char **argv);

int cmd_list(struct app *a, int argc, char **argv);
int cmd_info(struct app *a, int argc, char **argv);
int cmd_clock(struct app *a, int argc, char **argv);
/* clock.c: whether a session may begin by mnd's clock, and if not, why not. An error of libmn. */
int clock_judge(struct app *a, bool *right, char *why, size_t cap);
int cmd_ping(struct app *a, int argc, char **argv);
int cmd_stop(struct app *a, int argc, char **argv);
int cmd_session(struct app *a, int argc, char **argv);
int cmd_selftest(struct app *a, int argc, char **argv);
int cmd_version(struct app *a, int argc, char **argv);
int cmd_config(struct app *a, int argc, char **argv);
int cmd_faults(struct app *a, int argc, char **argv);
int cmd_watch(struct app *a, int argc, char **argv);
int cmd_doctor(struct app *a, int argc, char **argv);
int cmd_lease(struct app *a, int argc, char **argv);
int cmd_policy(struct app *a, int argc, char **argv);
int cmd_guide(struct app *a, int argc, char **argv);
int cmd_records(struct app *a, int argc, char **argv);
/* overrides.c: what was overridden since then, 0: since ever. */
int records_overrides(struct app *a, uint64_t since_us);
int cmd_monitor(struct app *a, int argc, char **argv);
int cmd_sim(struct app *a, int argc, char **argv);
