#include "inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "frame.h"
#include "log.h"
#include "pen.pb-c.h"
#include "stall.h"

enum {
    SILENCE_MS = 3500, /* the pen sends its status every second */
    GREETING_MS = 1000,
    RETRY_MS = 250,
    RETRY_SLOW_MS = 5000,
    FAILURES_FAST = 8,
    TICK_IDLE_MS = 500,
    FACTORY_MINOR = 3, /* first minor whose pens may have no serial number yet */
};

uint64_t pen_now_ms(const struct pen *p)
{
    uint64_t now = 0;

    sd_event_now(p->event, CLOCK_MONOTONIC, &now);
    return now / 1000;
}

/* Only moves the timer forward; on_timer() recomputes it. */
void pen_timer_by(struct pen *p, uint64_t due_ms)
{
    if (due_ms >= p->timer_ms)
        return;
    p->timer_ms = due_ms;
    sd_event_source_set_time(p->timer, due_ms * 1000);
    sd_event_source_set_enabled(p->timer, SD_EVENT_ONESHOT);
}

void pen_changed(struct pen *p)
{
    if (p->state != PEN_CLOSED)
        p->observer.changed(p->observer.ctx, p);
}

/* ---- the session ---- */

void pen_session_failed(struct pen *p, const char *why)
{
    bool was_ready = p->state == PEN_READY;

    if (p->state == PEN_DRAINING || p->state == PEN_CLOSED)
        return;
    if (strcmp(p->last_error, why) != 0 || was_ready)
        log_warning("pen %s: %s", pen_name(p), why);
    snprintf(p->last_error, sizeof(p->last_error), "%s", why);
    p->state = PEN_RESETTING;
    p->state_until_ms = 0;
    p->session = 0;
    p->records.asked = p->clock.asked = false;
    p->retry_at_ms = pen_now_ms(p) + (p->failures++ < FAILURES_FAST ? (was_ready ? 0 : RETRY_MS) : RETRY_SLOW_MS);
    pen_timer_by(p, p->retry_at_ms);
    pen_end_in_flight(p);
    pen_changed(p);
}

static void greet(struct pen *p)
{
    uint8_t payload[MN_FRAME_MAX];
    Mnp__Hello hello = MNP__HELLO__INIT;

    if (getrandom(&p->nonce, sizeof(p->nonce), GRND_NONBLOCK) != sizeof(p->nonce))
        p->nonce = (uint32_t)pen_now_ms(p);
    hello.has_nonce = hello.has_minor = hello.has_host_time_s = true;
    hello.nonce = p->nonce;
    hello.minor = MN_PROTOCOL_MINOR;
    hello.host_time_s = (uint64_t)time(NULL);
    p->state = PEN_GREETING;
    p->state_until_ms = pen_now_ms(p) + GREETING_MS;
    p->sequence_out = 0;
    pen_timer_by(p, p->state_until_ms);
    if (pen_send_frame(p, MNP__FRAME_TYPE__TYPE_HELLO, pen_next_correlation(p), payload,
                   (uint16_t)mnp__hello__pack(&hello, payload)) < 0)
        pen_session_failed(p, "the pen does not take HELLO");
}

static void session_begin(struct pen *p)
{
    int r;

    mn_frame_reader_reset(&p->reader);
    p->session = 0;
    p->retry_at_ms = 0;
    p->state = PEN_RESETTING;
    p->state_until_ms = pen_now_ms(p) + GREETING_MS;
    pen_timer_by(p, p->state_until_ms);
    r = pen_send_control(p, MN_CONTROL_SESSION_RESET);
    if (r < 0)
        pen_session_failed(p, "the pen's control pipe does not take a session reset");
}

void pen_retry_now(struct pen *p)
{
    if (p->state != PEN_RESETTING || p->retry_at_ms == 0)
        return;
    p->retry_at_ms = pen_now_ms(p);
    pen_timer_by(p, p->retry_at_ms);
}

/* Printable ASCII, so that people can type it and no two look alike. "": not written yet. */
static bool is_serial(const char *serial)
{
    size_t n = strlen(serial);

    for (size_t i = 0; i < n; i++) {
        if (serial[i] < ' ' || serial[i] > '~')
            return false;
    }
    return n <= JOURNAL_SERIAL_MAX && serial[0] != '@';
}

/* NULL if the HELLO is complete and in range, else a message. */
static const char *hello_wrong(const struct pen *p, const Mnp__HelloReply *h, uint32_t session)
{
    if (!h->has_nonce || h->nonce != p->nonce)
        return "the pen answered an older HELLO";
    if (!h->has_session || h->session == 0 || h->session != session || !h->has_boot_id || h->serial == NULL || !h->has_minor)
        return "the pen's HELLO lacks session, boot_id, serial or minor";
    if ((h->serial[0] == '\0' && h->minor < FACTORY_MINOR) || !is_serial(h->serial))
        return "the pen's serial number is not 1 to 32 printable ASCII characters, the first not an @: it cannot be told from other pens";
    if (!h->has_window || h->window < 1 || !h->has_frame_max || h->frame_max < MN_FRAME_MAX)
        return "the pen's HELLO names no usable window or frame size";
    return NULL;
}

static void copy_text(char *out, size_t cap, const char *text)
{
    snprintf(out, cap, "%s", text != NULL ? text : "");
    for (char *c = out; *c != '\0'; c++) { /* text from a pen is shown to people: printable ASCII only */
        if (*c < ' ' || *c > '~')
            *c = '?';
    }
}

void pen_on_hello(struct pen *p, const struct mn_frame *f)
{
    Mnp__HelloReply *h = mnp__hello_reply__unpack(NULL, f->length, f->payload);
    const char *wrong = h != NULL ? hello_wrong(p, h, f->session) : "the pen's HELLO does not decode";
    const char *serial = wrong == NULL && h->serial[0] != '\0' ? h->serial : p->address;

    if (wrong == NULL && (wrong = p->observer.check_serial(p->observer.ctx, p, serial)) != NULL)
        p->failures = FAILURES_FAST; /* retry slowly from now on */
    if (wrong != NULL) {
        pen_session_failed(p, wrong);
    } else {
        bool reborn = p->boot_id != 0 && p->boot_id != h->boot_id;

        copy_text(p->serial, sizeof(p->serial), serial);
        copy_text(p->firmware_version, sizeof(p->firmware_version), h->firmware_version);
        p->session = h->session;
        p->window = h->window < MN_WINDOW ? h->window : MN_WINDOW;
        p->minor = h->minor;
        p->capabilities = h->capabilities;
        p->boot_id = h->boot_id;
        p->status = (struct mn_pen_status){.state = (uint8_t)h->state,
                                           .fault_word = h->fault_word,
                                           .boot_id = h->boot_id,
                                           .config_generation = h->config_generation,
                                           .trigger = h->trigger,
                                           .cartridge = (uint8_t)h->cartridge};
        p->sequence_in = (uint16_t)(f->sequence + 1);
        p->records.newest = h->records_newest;
        p->records.acked = h->records_acked;
        p->records.ack_rejected = false;
        p->clock.known = p->requests.armed_by_factory = false;
        p->requests.batch_ms = MN_BATCH_MS;
        if (reborn || p->flight == NULL) {
            pen_cut_flights(p, true);
            flight_reset(p->flight);
            p->flight = p->flight != NULL ? p->flight : flight_new();
        }
        p->state = PEN_READY;
        p->state_until_ms = 0;
        p->failures = 0;
        p->last_error[0] = '\0';
        p->counters.sessions++;
        log_info("pen %s at %s: ready, firmware %s, protocol %d.%u, session %08x%s", p->serial, p->port, p->firmware_version,
                 MN_PROTOCOL_MAJOR, p->minor, p->session, reborn ? ", restarted" : "");
        pen_changed(p);
        pen_records_restart(p);
        pen_pump(p);
    }
    if (h != NULL)
        mnp__hello_reply__free_unpacked(h, NULL);
}

/* ---- what comes from the link ---- */

static void handle_open(void *ctx)
{
    struct pen *p = ctx;

    p->last_error[0] = '\0';
    p->heard_ms = pen_now_ms(p);
    session_begin(p);
}

static void handle_bytes(void *ctx, enum link_in from, const uint8_t *bytes, size_t n)
{
    pen_on_bytes(ctx, from, bytes, n);
}

static void handle_sendable(void *ctx)
{
    pen_pump(ctx);
}

static void handle_control(void *ctx, enum mn_control request, int result)
{
    struct pen *p = ctx;

    if (request != MN_CONTROL_SESSION_RESET || p->state != PEN_RESETTING || p->retry_at_ms != 0)
        return;
    if (result < 0)
        pen_session_failed(p, "the pen refuses the session reset: is it a pen?");
    else
        greet(p);
}

static void handle_trouble(void *ctx, const char *sentence, bool given_up)
{
    struct pen *p = ctx;
    enum pen_state before = p->state;

    if (p->state == PEN_OPENING || p->state == PEN_FAILED) {
        bool news = strcmp(p->last_error, sentence) != 0;

        snprintf(p->last_error, sizeof(p->last_error), "%s", sentence);
        p->state = given_up ? PEN_FAILED : PEN_OPENING;
        if (given_up && (news || before != PEN_FAILED))
            log_error("%s", sentence);
        if (news || p->state != before)
            pen_changed(p);
        return;
    }
    pen_session_failed(p, sentence);
}

static void handle_gone(void *ctx)
{
    pen_close(ctx);
}

static void handle_closed(void *ctx)
{
    struct pen *p = ctx;

    p->link = NULL;
    p->state = PEN_CLOSED;
    p->observer.closed(p->observer.ctx, p);
}

static const struct link_handler handler = {
    .on_open = handle_open,
    .on_bytes = handle_bytes,
    .on_sendable = handle_sendable,
    .on_control = handle_control,
    .on_trouble = handle_trouble,
    .on_gone = handle_gone,
    .on_closed = handle_closed,
};

void pen_close(struct pen *p)
{
    if (p->state == PEN_DRAINING || p->state == PEN_CLOSED)
        return;
    log_info("pen %s at %s: gone", pen_name(p), p->port);
    p->state = PEN_DRAINING;
    pen_cut_flights(p, true);
    sd_event_source_set_enabled(p->timer, SD_EVENT_OFF);
    pen_end_all(p, PEN_RESULT_GONE);
    pen_changed(p);
    p->link->ops->close(p->link);
}

/* ---- time ---- */

static void check_heartbeat(struct pen *p, uint64_t now, uint64_t *next)
{
    bool needed = p->requests.arming || p->status.state == MNP__STATE__STATE_ARMED || p->status.state == MNP__STATE__STATE_RUNNING;

    if (!needed)
        return;
    if (now < p->heartbeat_suspended_until_ms) {
        *next = p->heartbeat_suspended_until_ms < *next ? p->heartbeat_suspended_until_ms : *next;
        return;
    }
    if (now >= p->heartbeat_ms + MN_HEARTBEAT_PERIOD_MS) {
        pen_send_frame(p, MNP__FRAME_TYPE__TYPE_HEARTBEAT, 0, NULL, 0); /* if it fails, the next one follows in 50 ms; the pen stops after 250 */
        p->heartbeat_ms = now;
    }
    if (p->heartbeat_ms + MN_HEARTBEAT_PERIOD_MS < *next)
        *next = p->heartbeat_ms + MN_HEARTBEAT_PERIOD_MS;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
    struct pen *p = userdata;
    uint64_t now = pen_now_ms(p), next = now + TICK_IDLE_MS;

    stall_doing("a pen's timer");
    (void)s;
    (void)usec;
    p->timer_ms = UINT64_MAX;
    if (p->state == PEN_RESETTING && p->retry_at_ms != 0 && now >= p->retry_at_ms)
        session_begin(p);
    else if ((p->state == PEN_RESETTING || p->state == PEN_GREETING) && p->state_until_ms != 0 && now >= p->state_until_ms)
        pen_session_failed(p, "the pen does not answer: replug it if this stays");
    else if (p->state == PEN_READY && now >= p->heard_ms + SILENCE_MS)
        pen_session_failed(p, "the pen has fallen silent");
    if (p->retry_at_ms > now && p->retry_at_ms < next)
        next = p->retry_at_ms;
    if (p->state_until_ms > now && p->state_until_ms < next)
        next = p->state_until_ms;
    pen_check_requests(p, now, &next);
    pen_cut_flights(p, false);
    if (flight_due_ms(p->flight) < next)
        next = flight_due_ms(p->flight);
    if (p->state == PEN_READY)
        check_heartbeat(p, now, &next);
    if (p->state != PEN_DRAINING && p->state != PEN_CLOSED)
        pen_timer_by(p, next);
    return 0;
}

/* ---- life ---- */

int pen_new(struct pen **out, sd_event *event, struct link *l, uint32_t id, const struct pen_observer *observer)
{
    struct pen *p = calloc(1, sizeof(*p));
    int r;

    if (p == NULL)
        return -ENOMEM;
    p->event = event;
    p->link = l;
    p->id = id;
    p->observer = *observer;
    p->simulated = l->simulated;
    p->state = PEN_OPENING;
    p->timer_ms = UINT64_MAX;
    p->counters = (Mnc__LinkCounters)MNC__LINK_COUNTERS__INIT;
    snprintf(p->port, sizeof(p->port), "%s", l->port);
    link_address(l->port, p->address);
    r = sd_event_add_time_relative(event, &p->timer, CLOCK_MONOTONIC, TICK_IDLE_MS * 1000, 1000, on_timer, p);
    if (r < 0) {
        free(p);
        return r;
    }
    l->handler = &handler;
    l->ctx = p;
    r = l->ops->open(l);
    if (r < 0) {
        pen_free(p);
        return r;
    }
    pen_timer_by(p, pen_now_ms(p) + TICK_IDLE_MS);
    *out = p;
    return 0;
}

void pen_free(struct pen *p)
{
    if (p == NULL)
        return;
    for (unsigned i = 0; i < p->requests.count; i++)
        free(p->requests.list[i].payload);
    sd_event_source_disable_unref(p->timer);
    flight_free(p->flight);
    free(p);
}
