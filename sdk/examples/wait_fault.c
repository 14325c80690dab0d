/* Waits for the next fault of any pen, in a poll() loop, over restarts of the daemon. */
#include <mn/mn.h>

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>

static void on_event(mn_client *c, const struct mn_event *e, void *user)
{
    bool *seen = user;

    (void)c;
    if (e->kind == MN_EVENT_DISCONNECTED)
        fprintf(stderr, "%s; trying again\n", e->text);
    if (e->kind != MN_EVENT_RECORD || e->record->kind != MN_RECORD_FAULT || !e->record->fault.raised)
        return;
    const struct mn_fault *f = mn_fault_by_code(e->record->fault.code);
    printf("%s: fault %" PRIu32 " %s\n", e->record->serial, e->record->fault.code, f != NULL ? f->text : "");
    *seen = true;
}

int main(void)
{
    bool seen = false;
    struct mn_options options = {.name = "example wait_fault", .reconnect = true, .on_event = on_event, .user = &seen};
    char message[256];
    mn_client *c;
    int r = mn_connect(&c, &options, message, sizeof(message));

    if (r == MN_OK)
        r = mn_records_follow(c, NULL, NULL, 2000);
    if (r == MN_OK)
        printf("waiting\n"), fflush(stdout);
    while (r == MN_OK && !seen) {
        struct pollfd fd = {.fd = mn_fd(c), .events = mn_events(c)};

        poll(&fd, 1, mn_timeout_ms(c));
        r = mn_process(c);
    }
    if (r != MN_OK)
        fprintf(stderr, "%s\n", c != NULL ? mn_message(c) : message);
    mn_close(c);
    return r != MN_OK;
}
