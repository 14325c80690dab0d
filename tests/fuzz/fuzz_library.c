/* libmn against a daemon that says anything: what it is told comes as messages, after it has asked for everything once. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t seen;

static void on_event(mn_client *c, const struct mn_event *e, void *user)
{
    (void)user;
    seen += (uint64_t)e->kind + strlen(mn_message(c));
}

static void on_result(mn_client *c, const struct mn_result *r, void *user)
{
    (void)c;
    (void)user;
    seen += (uint64_t)r->error + strlen(r->message);
}

static void ask_all(mn_client *c)
{
    static const struct mn_cursor cursor = {1, 1};
    static struct mn_config config = {.present = 1};
    static struct mn_plan plan = {.subject = "K"};

    mn_list_async(c, 1000, on_result, NULL);
    mn_watch_async(c, true, 1000, on_result, NULL);
    mn_subscribe_async(c, NULL, true, 1000, on_result, NULL);
    mn_pen_info_async(c, "P", 1000, on_result, NULL);
    mn_pen_status_async(c, "P", 1000, on_result, NULL);
    mn_config_get_async(c, "P", 1000, on_result, NULL);
    mn_config_set_async(c, "P", &config, NULL, 1000, on_result, NULL);
    mn_faults_clear_async(c, "P", 0, false, 1000, on_result, NULL);
    mn_lease_take_async(c, "P", 1000, on_result, NULL);
    mn_records_read_async(c, &cursor, NULL, 1000, on_result, NULL);
    mn_flight_get_async(c, &cursor, 1000, on_result, NULL);
    mn_journal_verify_async(c, 1000, on_result, NULL);
    mn_policy_get_async(c, NULL, 1000, on_result, NULL);
    mn_session_check_async(c, "P", &plan, 1000, on_result, NULL);
    mn_session_begin_async(c, "P", &plan, 1000, on_result, NULL);
    mn_session_list_async(c, NULL, 0, 1000, on_result, NULL);
    mn_daemon_info_async(c, 1000, on_result, NULL);
}

/* Pieces of the input, each with its length before it, become messages. */
static void tell(int fd, const uint8_t *data, size_t size)
{
    while (size >= 2) {
        size_t n = data[0] | (size_t)(data[1] & 7) << 8;
        uint8_t head[4] = {0};

        data += 2;
        size -= 2;
        n = n > size ? size : n;
        head[0] = (uint8_t)n;
        head[1] = (uint8_t)(n >> 8);
        if (send(fd, head, 4, MSG_DONTWAIT) != 4 || send(fd, data, n, MSG_DONTWAIT) != (ssize_t)n)
            return;
        data += n;
        size -= n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mn_client *c = calloc(1, sizeof(*c));
    int fds[2];

    if (c == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) < 0)
        abort();
    c->fd = fds[0];
    c->state = CLIENT_CONNECTED;
    c->last.message = c->message;
    c->path = strdup("/nowhere");
    c->name = strdup("fuzz");
    c->daemon_minor = 6;
    c->on_event = on_event;
    ask_all(c);
    if (size > 0 && data[0] & 1) {
        if (send(fds[1], data + 1, size - 1, MSG_DONTWAIT) < 0 && size > 1)
            abort();
    } else if (size > 0) {
        tell(fds[1], data + 1, size - 1);
    }
    for (int i = 0; i < 4; i++)
        mn_process(c);
    mn_close(c);
    close(fds[1]);
    return 0;
}
