/*
 * The daemon's configuration file, in YAML; docs/configuration.md describes it. Every option has a default, so that no file is needed. A file with anything
 * unknown, of a wrong type or out of range is rejected whole, with the line.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_PATH_DEFAULT "/etc/mnd/mnd.yaml"
#define SOCKET_PATH_DEFAULT "/run/mnd/mnd.sock"
#define POLICY_PATH_DEFAULT "/etc/mnd/policy.yaml"
#define JOURNAL_PATH_DEFAULT "/var/lib/mnd/journal.db"

struct config {
    char socket[108];
    char journal[120];    /* "": JOURNAL_PATH_DEFAULT with the default socket, else SOCKET.journal */
    unsigned records_keep_days; /* 1..36500: exported records that are older are dropped */
    unsigned records_max_mib;   /* 16..1048576: more than that, and the oldest exported ones are dropped */
    unsigned records_free_mib;  /* 0..1048576: with less of the disk left the oldest are dropped, exported or not */
    char policy[120];     /* the site's, policy.yaml; "": POLICY_PATH_DEFAULT if there is such a file */
    char group[33];       /* of the socket; "" for none */
    char operator_group[33]; /* whose members may configure and arm; "" for nobody but root and the daemon's own user */
    char service_group[33];  /* ... may clear service faults, and take leases over */
    char factory_group[33];  /* ... may write serial number and calibration */
    char log_level[8];    /* error, warning, info, debug */
    unsigned max_clients;          /* 1..4096 */
    unsigned max_clients_per_user; /* 1..4096 */
    unsigned client_queue_kib;     /* 16..16384; replies and pen events that may wait for one client */
    unsigned user_queue_kib;       /* 16..1048576; ... for all clients of one user */
    bool usb;
    char sim_socket[108]; /* "" for no simulated bus */
    unsigned sim_pens;    /* 0..64 started by the daemon itself */
    bool sim_fresh;       /* they come off the factory's line; by option only */
};

void config_default(struct config *c);

/* Reads the file over *c. 0, or a negative errno and one sentence in *why with file, line and reason; *c is then untouched. */
int config_load(struct config *c, const char *path, char *why, size_t cap);
/* The same of a text; path is for the sentence. */
int config_parse(struct config *c, const char *text, size_t n, const char *path, char *why, size_t cap);

/* The same checks for values that came from the command line. */
bool config_check(const struct config *c, char *why, size_t cap);

/* The next option, from *at on (0 at first), in which the two differ; NULL: there is none. */
const char *config_difference(const struct config *a, const struct config *b, size_t *at);

/* Index into error, warning, info, debug; -1. */
int config_log_level(const char *name);
