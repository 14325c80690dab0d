#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "yaml.h"

/* libcyaml's own boolean takes any word for true. */
static const cyaml_strval_t booleans[] = {{"true", 1}, {"false", 0}, {"yes", 1}, {"no", 0}};

/* What libcyaml fills; absent keys leave the defaults. */
static const cyaml_schema_field_t fields[] = {
    CYAML_FIELD_STRING("socket", CYAML_FLAG_OPTIONAL, struct config, socket, 1),
    CYAML_FIELD_STRING("journal", CYAML_FLAG_OPTIONAL, struct config, journal, 0),
    CYAML_FIELD_UINT("records_keep_days", CYAML_FLAG_OPTIONAL, struct config, records_keep_days),
    CYAML_FIELD_UINT("records_max_mib", CYAML_FLAG_OPTIONAL, struct config, records_max_mib),
    CYAML_FIELD_UINT("records_free_mib", CYAML_FLAG_OPTIONAL, struct config, records_free_mib),
    CYAML_FIELD_STRING("policy", CYAML_FLAG_OPTIONAL, struct config, policy, 0),
    CYAML_FIELD_STRING("group", CYAML_FLAG_OPTIONAL, struct config, group, 0),
    CYAML_FIELD_STRING("operator_group", CYAML_FLAG_OPTIONAL, struct config, operator_group, 0),
    CYAML_FIELD_STRING("service_group", CYAML_FLAG_OPTIONAL, struct config, service_group, 0),
    CYAML_FIELD_STRING("factory_group", CYAML_FLAG_OPTIONAL, struct config, factory_group, 0),
    CYAML_FIELD_STRING("log_level", CYAML_FLAG_OPTIONAL, struct config, log_level, 1),
    CYAML_FIELD_UINT("max_clients", CYAML_FLAG_OPTIONAL, struct config, max_clients),
    CYAML_FIELD_UINT("max_clients_per_user", CYAML_FLAG_OPTIONAL, struct config, max_clients_per_user),
    CYAML_FIELD_UINT("client_queue_kib", CYAML_FLAG_OPTIONAL, struct config, client_queue_kib),
    CYAML_FIELD_UINT("user_queue_kib", CYAML_FLAG_OPTIONAL, struct config, user_queue_kib),
    CYAML_FIELD_ENUM("usb", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, struct config, usb, booleans, 4),
    CYAML_FIELD_STRING("sim_socket", CYAML_FLAG_OPTIONAL, struct config, sim_socket, 0),
    CYAML_FIELD_UINT("sim_pens", CYAML_FLAG_OPTIONAL, struct config, sim_pens),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct config, fields)};

void config_default(struct config *c)
{
    *c = (struct config){
        .socket = SOCKET_PATH_DEFAULT,
        .records_keep_days = 3650,
        .records_max_mib = 1024,
        .records_free_mib = 64,
        .group = "mnd",
        .operator_group = "mnd",
        .service_group = "mnd-service",
        .factory_group = "mnd-factory",
        .log_level = "info",
        .max_clients = 256,
        .max_clients_per_user = 128,
        .client_queue_kib = 256,
        .user_queue_kib = 4096,
        .usb = true,
    };
}

int config_log_level(const char *name)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};

    for (int i = 0; i < 4; i++) {
        if (strcmp(name, names[i]) == 0)
            return i;
    }
    return -1;
}

bool config_check(const struct config *c, char *why, size_t cap)
{
    if (config_log_level(c->log_level) < 0)
        snprintf(why, cap, "log_level is error, warning, info or debug, not %s", c->log_level);
    else if (c->socket[0] != '/' && strchr(c->socket, '/') == NULL)
        snprintf(why, cap, "socket is a path, not %s", c->socket);
    else if (c->records_keep_days < 1 || c->records_keep_days > 36500)
        snprintf(why, cap, "records_keep_days is 1 to 36500, not %u", c->records_keep_days);
    else if (c->records_max_mib < 16 || c->records_max_mib > 1048576)
        snprintf(why, cap, "records_max_mib is 16 to 1048576, not %u", c->records_max_mib);
    else if (c->records_free_mib > 1048576)
        snprintf(why, cap, "records_free_mib is 0 to 1048576, not %u", c->records_free_mib);
    else if (c->max_clients < 1 || c->max_clients > 4096)
        snprintf(why, cap, "max_clients is 1 to 4096, not %u", c->max_clients);
    else if (c->max_clients_per_user < 1 || c->max_clients_per_user > 4096)
        snprintf(why, cap, "max_clients_per_user is 1 to 4096, not %u", c->max_clients_per_user);
    else if (c->client_queue_kib < 16 || c->client_queue_kib > 16384)
        snprintf(why, cap, "client_queue_kib is 16 to 16384, not %u", c->client_queue_kib);
    else if (c->user_queue_kib < 16 || c->user_queue_kib > 1048576)
        snprintf(why, cap, "user_queue_kib is 16 to 1048576, not %u", c->user_queue_kib);
    else if (c->sim_pens > 64)
        snprintf(why, cap, "sim_pens is 0 to 64, not %u", c->sim_pens);
    else
        return true;
    return false;
}

static bool has_key(const char *text, const char *key)
{
    return yaml_line_of(text, key, strlen(key)) != 0;
}

int config_load(struct config *c, const char *path, char *why, size_t cap)
{
    struct config *loaded = NULL, next = *c;
    char reason[256];
    size_t n = 0;
    char *text = yaml_read_file(path, &n);
    int r = 0;

    if (text == NULL) {
        r = -errno;
        snprintf(why, cap, "%s: %s", path, strerror(errno));
        return r;
    }
    if (yaml_is_empty(text)) { /* no mapping to YAML, but fine here */
        free(text);
        return 0;
    }
    r = yaml_load((void **)&loaded, &schema, text, n, path, why, cap);
    if (r == 0) {
#define TAKE_TEXT(key)                                                                                                 \
    if (has_key(text, #key))                                                                                           \
        memcpy(next.key, loaded->key, sizeof(next.key))
#define TAKE(key)                                                                                                      \
    if (has_key(text, #key))                                                                                           \
        next.key = loaded->key
        TAKE_TEXT(socket);
        TAKE_TEXT(journal);
        TAKE_TEXT(policy);
        TAKE_TEXT(group);
        TAKE_TEXT(operator_group);
        TAKE_TEXT(service_group);
        TAKE_TEXT(factory_group);
        TAKE_TEXT(log_level);
        TAKE_TEXT(sim_socket);
        TAKE(records_keep_days);
        TAKE(records_max_mib);
        TAKE(records_free_mib);
        TAKE(max_clients);
        TAKE(max_clients_per_user);
        TAKE(client_queue_kib);
        TAKE(user_queue_kib);
        TAKE(usb);
        TAKE(sim_pens);
#undef TAKE
#undef TAKE_TEXT
        if (config_check(&next, reason, sizeof(reason))) {
            *c = next;
        } else {
            /* every reason begins with the option's name */
            snprintf(why, cap, "%s, line %u: %s", path, yaml_line_of(text, reason, strcspn(reason, " ")), reason);
            r = -EINVAL;
        }
        yaml_free(&schema, loaded);
    }
    free(text);
    return r;
}
