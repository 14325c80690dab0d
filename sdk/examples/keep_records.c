/*
 * Keeps every record of every pen in a file of its own, each exactly once: keep_records FILE. It may be killed at any moment and started
 * again. Each line ends with the cursor behind the record, so that what was done and how far it goes are written at once: a half line is
 * no line. A database would hold both in one transaction.
 */
#define _POSIX_C_SOURCE 200809L /* fsync, ftruncate */

#include <mn/mn.h>

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void on_event(mn_client *c, const struct mn_event *e, void *user)
{
    const struct mn_record *r = e->record;
    FILE *file = user;

    (void)c;
    if (e->kind != MN_EVENT_RECORD)
        return;
    fprintf(file, "%s %" PRIu32 " %" PRIu32 " %s %" PRIu64 " %" PRIx64 ":%" PRIu64 "\n", r->serial[0] != '\0' ? r->serial : "-", r->volume, r->number,
            mn_record_kind_name(r->kind), r->host_us, r->cursor.journal, r->cursor.position);
    fflush(file);
    fsync(fileno(file));
}

/* The place behind the last whole line, where the file is cut. */
static struct mn_cursor place_of(FILE *file)
{
    struct mn_cursor place = {0}, next;
    char line[256];
    long end = 0;

    while (fgets(line, sizeof(line), file) != NULL && strchr(line, '\n') != NULL &&
           sscanf(line, "%*s %*u %*u %*s %*u %" SCNx64 ":%" SCNu64, &next.journal, &next.position) == 2) {
        place = next;
        end = ftell(file);
    }
    if (ftruncate(fileno(file), end) != 0)
        perror("keep_records");
    fseek(file, 0, SEEK_END);
    return place;
}

int main(int argc, char **argv)
{
    FILE *file = argc == 2 ? fopen(argv[1], "a+") : NULL;
    struct mn_options options = {.name = "example keep_records", .reconnect = true, .on_event = on_event, .user = file};
    char message[256] = "usage: keep_records FILE";
    struct mn_cursor place;
    mn_client *c = NULL;
    int r = MN_ERR_INVALID;

    if (file != NULL) {
        place = place_of(file);
        r = mn_connect(&c, &options, message, sizeof(message));
    }
    if (r == MN_OK)
        r = mn_records_follow(c, &place, NULL, 2000);
    while (r == MN_OK) {
        struct pollfd fd = {.fd = mn_fd(c), .events = mn_events(c)};

        poll(&fd, 1, mn_timeout_ms(c));
        r = mn_process(c);
    }
    fprintf(stderr, "%s\n", c != NULL ? mn_message(c) : message);
    mn_close(c);
    if (file != NULL)
        fclose(file);
    return 1;
}
