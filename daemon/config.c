#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "document.h"
#include "file.h"

static const struct unit days[] = {{"days", 1}, {"d", 1}, {"years", 365}, {"y", 365}}, mib[] = {{"MiB", 1}, {"GiB", 1024}}, kib[] = {{"KiB", 1}, {"MiB", 1024}};

static const struct field fields[] = {
    FIELD_TEXT(struct config, socket),
    FIELD_TEXT(struct config, journal),
    FIELD_WHOLE(struct config, records_keep_days, 1, 36500, days, 4),
    FIELD_WHOLE(struct config, records_max_mib, 16, 1048576, mib, 2),
    FIELD_WHOLE(struct config, records_free_mib, 0, 1048576, mib, 2),
    FIELD_TEXT(struct config, policy),
    FIELD_TEXT(struct config, group),
    FIELD_TEXT(struct config, operator_group),
    FIELD_TEXT(struct config, service_group),
    FIELD_TEXT(struct config, factory_group),
    FIELD_TEXT(struct config, log_level),
    FIELD_WHOLE(struct config, max_clients, 1, 4096, NULL, 0),
    FIELD_WHOLE(struct config, max_clients_per_user, 1, 4096, NULL, 0),
    FIELD_WHOLE(struct config, client_queue_kib, 16, 16384, kib, 2),
    FIELD_WHOLE(struct config, user_queue_kib, 16, 1048576, kib, 2),
    FIELD_TRUTH(struct config, usb),
    FIELD_TEXT(struct config, sim_socket),
    FIELD_WHOLE(struct config, sim_pens, 0, 64, NULL, 0),
    FIELD_END,
};

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

/* Returns NULL, or the name of the option that is wrong, with the reason in why. */
static const char *check_texts(const struct config *c, char *why, size_t cap)
{
    if (config_log_level(c->log_level) < 0) {
        snprintf(why, cap, "log_level is error, warning, info or debug, not %s", c->log_level);
        return "log_level";
    }
    if (strchr(c->socket, '/') == NULL) {
        snprintf(why, cap, "socket is a path with a /, not %s", c->socket[0] != '\0' ? c->socket : "\"\"");
        return "socket";
    }
    return NULL;
}

bool config_check(const struct config *c, char *why, size_t cap)
{
    for (const struct field *f = fields; f->key != NULL; f++) {
        uint32_t value;

        memcpy(&value, (const char *)c + f->offset, sizeof(value));
        if (!field_takes(f, value, why, cap))
            return false;
    }
    return check_texts(c, why, cap) == NULL;
}

int config_parse(struct config *c, const char *text, size_t n, const char *path, char *why, size_t cap)
{
    struct document *document = NULL;
    struct config next = *c;
    const char *wrong;
    char reason[200];
    int r = document_parse(&document, fields, &next, text, n, path, why, cap);

    if (r < 0)
        return r;
    wrong = check_texts(&next, reason, sizeof(reason));
    if (wrong == NULL)
        *c = next;
    else
        node_wrong(why, cap, document_find(document_root(document), wrong), "%s", reason);
    document_free(document);
    return wrong == NULL ? 0 : -EINVAL;
}

int config_load(struct config *c, const char *path, char *why, size_t cap)
{
    size_t n = 0;
    char *text = file_read(path, DOCUMENT_BYTES_MAX, &n, why, cap);
    int r;

    if (text == NULL)
        return -errno;
    r = config_parse(c, text, n, path, why, cap);
    free(text);
    return r;
}

const char *config_difference(const struct config *a, const struct config *b, size_t *at)
{
    while (fields[*at].key != NULL) {
        const struct field *f = &fields[(*at)++];
        const char *left = (const char *)a + f->offset, *right = (const char *)b + f->offset;
        bool same = f->type == FIELD_IS_TEXT ? strcmp(left, right) == 0 : memcmp(left, right, f->type == FIELD_IS_TRUTH ? sizeof(bool) : sizeof(uint32_t)) == 0;

        if (!same)
            return f->key;
    }
    return NULL;
}
