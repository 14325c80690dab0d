/*
 * mnctl: what its commands share. A command is a function that takes its words and returns an exit code.
 */
#pragma once

#include <jansson.h>
#include <mn/mn.h>
#include <stdio.h>

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
    char serial[MN_SERIAL_MAX + 1]; /* of the chosen pen */
};

struct command {
    const char *name;
    const char *usage;  /* behind "mnctl " */
    const char *line;   /* in the list of commands */
    const char *help;   /* in `mnctl help NAME`; ends with an example */
    int (*run)(struct app *a, int argc, char **argv); /* argv[0] is the command's name */
};

extern const struct command commands[];
extern const size_t command_count;

/* 0, or an exit code after a sentence on stderr. */
int app_connect(struct app *a, bool reconnect);
/* Connects, and chooses the pen: --pen, or the only one there is. */
int app_choose(struct app *a);
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
/* Says the sentence, a hint where a word is misspelt, and returns EXIT_USAGE. */
int usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints the JSON on one line (in lines: many) or indented, and frees it. Returns EXIT_OK, or EXIT_ERROR if stdout failed. */
int print_json(json_t *j, bool one_line);
/* stdout has taken everything: else a sentence and EXIT_ERROR. */
int flush_output(void);

/* A file to write into, - for stdout; NULL after a sentence. mode as of fopen(). Its end: EXIT_OK, and its path is printed, or EXIT_ERROR after a sentence. */
FILE *output_open(const char *path, const char *mode);
int output_close(FILE *out, const char *path);

/* ---- values with units ---- */

/* "depth=1.2mm": the setting's index and its value in the setting's own unit; an exit code after a sentence. */
int parse_assignment(const char *word, size_t *setting, uint32_t *value);
/* The index of a setting by its name or short name; an exit code after a sentence. */
int parse_setting(const char *word, size_t *setting);
/* "1200 um (1.2 mm)" as people read it. */
void format_setting(size_t setting, uint32_t value, char *out, size_t cap);

json_t *json_fault_word(uint32_t word);
json_t *json_config(const struct mn_config *config);
/* "1101 MOTOR_STALL, 1401 BATTERY_LOW"; "none". */
void format_faults(uint32_t word, char *out, size_t cap);

/* "CHEEK"; "?" for no zone that is known. */
const char *zone_name(unsigned number);

/* ---- records ---- */

/* "2026-11-21 08:30:00.000", local time. */
void format_time(uint64_t us, char *out, size_t cap);
/* What it says, without when and of which pen. */
void format_record(const struct mn_record *r, char *out, size_t cap);
json_t *json_record(const struct mn_record *r);
/* `faults show`: argv[0] is "show". */
int faults_show(struct app *a, int argc, char **argv);

int cmd_list(struct app *a, int argc, char **argv);
int cmd_info(struct app *a, int argc, char **argv);
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
int cmd_monitor(struct app *a, int argc, char **argv);
int cmd_sim(struct app *a, int argc, char **argv);
