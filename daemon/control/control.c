#include "inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "log.h"
#include "stall.h"

enum { TIMER_ACCURACY_US = 5000, WAIT_DEFAULT_MS = 30000, WAIT_MAX_MS = 600000, PENDING_MAX = 64 };

/* Notifies watching clients of the pen's lease holder. */
static void publish(const struct control *k, const char *serial)
{
    struct pen *p = hub_pen(k->hub, serial);
    const struct lease *l = lease_find(&k->leases, serial);

    hub_set_holder(k->hub, serial, l != NULL ? l->name : NULL, l != NULL ? l->pid : 0);
    if (p != NULL)
        hub_notify_pen(k->hub, p);
}

static void notify(const void *client, Mnc__LeaseChange what, const char *serial, const struct client *other, const char *text)
{
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__LeaseEvent e = MNC__LEASE_EVENT__INIT;

    e.has_what = true;
    e.what = what;
    e.serial = (char *)(uintptr_t)serial;
    e.text = (char *)(uintptr_t)text;
    if (other != NULL) {
        e.name = (char *)(uintptr_t)client_name(other);
        e.has_pid = true;
        e.pid = (uint32_t)client_pid(other);
    }
    m.body_case = MNC__SERVER_MESSAGE__BODY_LEASE;
    m.lease = &e;
    client_notify((struct client *)(uintptr_t)client, &m);
}

static void pending_free(struct control *k, struct pending **at)
{
    struct pending *w = *at;

    *at = w->next;
    k->pending_count--;
    free(w);
}

/* A pen that loses its lease holder is stopped. */
static void stop(const struct control *k, const struct lease *l)
{
    struct pen *p = hub_pen(k->hub, l->serial);

    if (p != NULL)
        pen_stop(p);
    if (k->lost != NULL)
        k->lost(k->lost_ctx, l->serial, l->name);
}

/* ---- granting ---- */

/* Sets the timer to the next ping or the next expiry of a lease. */
static void schedule(struct control *k)
{
    uint64_t at_us = lease_deadline_us(&k->leases);

    at_us = k->ping_at_us < at_us ? k->ping_at_us : at_us;
    sd_event_source_set_time(k->timer, at_us);
    sd_event_source_set_enabled(k->timer, k->leases.count > 0 ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

static int grant(struct control *k, const char *serial, struct client *c, uint64_t liveness_us, bool by_force)
{
    const struct lease *l = lease_find(&k->leases, serial);
    const void *before = l != NULL ? l->holder : NULL;
    int r = before == NULL || by_force || before == c ? process_watch(k, c) : 0;

    if (r == 0)
        r = lease_take(&k->leases, serial, c, client_name(c), client_pid(c), liveness_us, loop_us(k->event, CLOCK_MONOTONIC), by_force);
    if (r < 0)
        return r;
    if (before != c)
        log_info("pen %s is controlled by %s", serial, client_name(c));
    if (k->ping_at_us < loop_us(k->event, CLOCK_MONOTONIC) || k->ping_at_us > loop_us(k->event, CLOCK_MONOTONIC) + lease_ping_us(&k->leases))
        k->ping_at_us = loop_us(k->event, CLOCK_MONOTONIC) + lease_ping_us(&k->leases);
    schedule(k);
    publish(k, serial);
    return 0;
}

static void reject_grant(struct client *c, uint32_t id, int r)
{
    if (r == -ESRCH)
        client_reject(c, id, MNC__ERROR_CODE__ERROR_LEASE, "the process that connected (pid %d) has ended: connect anew", (int)client_pid(c));
    else
        client_reject(c, id, MNC__ERROR_CODE__ERROR_BUSY, r == -ENOMEM ? "the daemon is out of memory" : "no process can be watched now: %s", strerror(-r));
}

/* The lease is free: grants it to the first waiting client that can have it. */
static void grant_next(struct control *k, const char *serial)
{
    struct pending **at = &k->pending;

    while (*at != NULL) {
        struct pending w = **at;
        int r;

        if (strcmp(w.serial, serial) != 0) {
            at = &(*at)->next;
            continue;
        }
        pending_free(k, at);
        r = grant(k, serial, w.client, w.liveness_us, false);
        if (r == 0) {
            client_reply_done(w.client, w.id);
            return;
        }
        reject_grant(w.client, w.id, r);
    }
    publish(k, serial);
}

void control_release(struct control *k, const char *serial, const void *holder)
{
    const struct lease *l = lease_find(&k->leases, serial);
    struct lease lost;

    if (l == NULL)
        return;
    lost = *l;
    if (lease_release(&k->leases, lost.serial, holder)) {
        stop(k, &lost);
        grant_next(k, lost.serial);
    }
}

/* ---- time ---- */

static void expire(struct control *k)
{
    const struct lease *l;

    while ((l = lease_expired(&k->leases, loop_us(k->event, CLOCK_MONOTONIC))) != NULL) {
        char text[200];

        snprintf(text, sizeof(text), "%s did not answer for %.3g s and has lost control of pen %s; the needles were stopped", l->name, (double)l->liveness_us / 1e6,
                 l->serial);
        log_warning("%s", text);
        hub_note(k->hub, MNC__JOURNAL_KIND__JOURNAL_CONTROL, l->serial, text);
        notify(l->holder, MNC__LEASE_CHANGE__LEASE_LOST, l->serial, NULL, text);
        control_release(k, l->serial, l->holder);
    }
}

static void time_out_pending(struct control *k)
{
    uint64_t now = loop_us(k->event, CLOCK_MONOTONIC);

    for (struct pending **at = &k->pending; *at != NULL;) {
        struct pending w = **at;
        const struct lease *l = lease_find(&k->leases, w.serial);

        if (now < w.deadline_us) {
            at = &(*at)->next;
            continue;
        }
        pending_free(k, at);
        client_reject(w.client, w.id, MNC__ERROR_CODE__ERROR_LEASE, "pen %s is still controlled by %s", w.serial, l != NULL ? l->name : "another program");
    }
}

static void ping(const struct control *k)
{
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__Ping ping = MNC__PING__INIT;

    m.body_case = MNC__SERVER_MESSAGE__BODY_PING;
    m.ping = &ping;
    for (size_t i = 0; i < k->leases.count; i++) {
        const void *holder = k->leases.list[i].holder;
        size_t first = 0;

        while (k->leases.list[first].holder != holder)
            first++;
        if (first == i) /* once per client, however many leases it has */
            client_notify((struct client *)(uintptr_t)holder, &m);
    }
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
    struct control *k = userdata;

    stall_doing("the leases");
    (void)s;
    (void)usec;
    expire(k);
    time_out_pending(k);
    if (loop_us(k->event, CLOCK_MONOTONIC) >= k->ping_at_us) {
        ping(k);
        k->ping_at_us = loop_us(k->event, CLOCK_MONOTONIC) + lease_ping_us(&k->leases);
    }
    schedule(k);
    return 0;
}

/* ---- requests ---- */

static void reject_held(struct client *c, uint32_t id, const struct lease *l)
{
    client_reject(c, id, MNC__ERROR_CODE__ERROR_LEASE, "pen %s is controlled by %s", l->serial, l->name);
}

static void take(struct control *k, struct client *c, uint32_t id, const char *serial, uint64_t liveness_us)
{
    int r = grant(k, serial, c, liveness_us, false);

    if (r == 0)
        client_reply_done(c, id);
    else if (r == -EBUSY)
        reject_held(c, id, lease_find(&k->leases, serial));
    else
        reject_grant(c, id, r);
}

static void take_over(struct control *k, struct client *c, uint32_t id, const char *serial, uint64_t liveness_us)
{
    const struct lease *l = lease_find(&k->leases, serial);
    char text[300];
    int r;

    if (client_role(c) < ROLE_SERVICE) {
        client_reject(c, id, MNC__ERROR_CODE__ERROR_FORBIDDEN, "only the service role takes a lease over; your user is %s", role_name(client_role(c)));
        return;
    }
    r = process_watch(k, c);
    if (r < 0) { /* reject before anybody is notified */
        reject_grant(c, id, r);
        return;
    }
    if (l != NULL && l->holder != c) {
        snprintf(text, sizeof(text), "%s has taken control of pen %s over from %s; the needles were stopped", client_name(c), serial, l->name);
        log_warning("%s", text);
        hub_note(k->hub, MNC__JOURNAL_KIND__JOURNAL_CONTROL, serial, text);
        notify(l->holder, MNC__LEASE_CHANGE__LEASE_LOST, serial, c, text);
        stop(k, l);
    }
    r = grant(k, serial, c, liveness_us, true);
    if (r == 0)
        client_reply_done(c, id);
    else
        reject_grant(c, id, r);
}

static void request(struct control *k, struct client *c, uint32_t id, const char *serial, uint64_t liveness_us, uint32_t wait_ms)
{
    const struct lease *l = lease_find(&k->leases, serial);
    struct pending *w, **at = &k->pending;

    if (l == NULL || l->holder == c) {
        take(k, c, id, serial, liveness_us);
        return;
    }
    w = k->pending_count < PENDING_MAX ? calloc(1, sizeof(*w)) : NULL;
    if (w == NULL) {
        client_reject(c, id, MNC__ERROR_CODE__ERROR_BUSY, "too many programs wait for leases");
        return;
    }
    if (wait_ms == 0 || wait_ms > WAIT_MAX_MS)
        wait_ms = wait_ms == 0 ? WAIT_DEFAULT_MS : WAIT_MAX_MS;
    *w = (struct pending){.client = c, .id = id, .deadline_us = loop_us(k->event, CLOCK_MONOTONIC) + (uint64_t)wait_ms * 1000, .liveness_us = liveness_us};
    snprintf(w->serial, sizeof(w->serial), "%s", serial);
    while (*at != NULL)
        at = &(*at)->next;
    *at = w;
    k->pending_count++;
    notify(l->holder, MNC__LEASE_CHANGE__LEASE_REQUESTED, serial, c, NULL);
}

/* Hands the lease to the client that has waited longest, or to the one with this pid. */
static void give_to(struct control *k, struct client *c, uint32_t id, const char *serial, uint32_t pid)
{
    for (struct pending **at = &k->pending; *at != NULL; at = &(*at)->next) {
        struct pending w = **at;
        int r;

        if (strcmp(w.serial, serial) != 0 || (pid != 0 && (uint32_t)client_pid(w.client) != pid))
            continue;
        pending_free(k, at);
        r = process_watch(k, w.client);
        if (r < 0) {
            reject_grant(w.client, w.id, r);
            client_reject(c, id, MNC__ERROR_CODE__ERROR_LEASE, "%s cannot have it now: you keep control of pen %s", client_name(w.client), serial);
            return;
        }
        stop(k, lease_find(&k->leases, serial));
        grant(k, serial, w.client, w.liveness_us, true); /* cannot fail: it replaces a lease */
        client_reply_done(w.client, w.id);
        client_reply_done(c, id);
        return;
    }
    client_reject(c, id, MNC__ERROR_CODE__ERROR_LEASE, "no such program has asked for control of pen %s", serial);
}

void control_lease(struct control *k, struct client *c, uint32_t id, const Mnc__Lease *m)
{
    const char *serial = m->serial;
    uint64_t liveness_us = m->has_liveness_ms ? (uint64_t)m->liveness_ms * 1000 : LEASE_LIVENESS_US;
    const struct lease *l;
    const struct pen *p;

    if (liveness_us < LEASE_LIVENESS_MIN_US || liveness_us > LEASE_LIVENESS_MAX_US) {
        client_reject(c, id, MNC__ERROR_CODE__ERROR_MALFORMED, "a lease's liveness is 250 to 5000 ms, not %u", m->liveness_ms);
        return;
    }
    if (serial == NULL || serial[0] == '\0' || strlen(serial) > 32 || !m->has_action) {
        client_reject(c, id, MNC__ERROR_CODE__ERROR_MALFORMED, "LEASE needs serial and action");
        return;
    }
    p = hub_pen(k->hub, serial);
    if (p != NULL && pen_serial(p)[0] != '\0')
        serial = pen_serial(p); /* the pen may have been addressed by its port */
    l = lease_find(&k->leases, serial);
    if ((m->action == MNC__LEASE_ACTION__LEASE_RELEASE || m->action == MNC__LEASE_ACTION__LEASE_GIVE) && (l == NULL || l->holder != c)) {
        client_reject(c, id, MNC__ERROR_CODE__ERROR_LEASE, "you do not control pen %s", serial);
        return;
    }
    if (l == NULL && p == NULL) {
        client_reject(c, id, MNC__ERROR_CODE__ERROR_NO_PEN, "no pen with serial number %s is plugged in", serial);
        return;
    }
    switch (m->action) {
    case MNC__LEASE_ACTION__LEASE_TAKE:
        take(k, c, id, serial, liveness_us);
        break;
    case MNC__LEASE_ACTION__LEASE_TAKE_OVER:
        take_over(k, c, id, serial, liveness_us);
        break;
    case MNC__LEASE_ACTION__LEASE_REQUEST:
        request(k, c, id, serial, liveness_us, m->wait_ms);
        break;
    case MNC__LEASE_ACTION__LEASE_GIVE:
        give_to(k, c, id, serial, m->pid);
        break;
    case MNC__LEASE_ACTION__LEASE_RELEASE:
        control_release(k, serial, c);
        client_reply_done(c, id);
        break;
    default:
        client_reject(c, id, MNC__ERROR_CODE__ERROR_UNSUPPORTED, "this mnd does not know lease action %d", (int)m->action);
        break;
    }
}

void control_pong(struct control *k, const struct client *c)
{
    lease_renew(&k->leases, c, loop_us(k->event, CLOCK_MONOTONIC));
}

const struct client *control_holder(const struct control *k, const char *serial)
{
    const struct lease *l = lease_find(&k->leases, serial);

    return l != NULL ? l->holder : NULL;
}

void control_on_lost(struct control *k, void (*lost)(void *ctx, const char *serial, const char *name), void *ctx)
{
    k->lost = lost;
    k->lost_ctx = ctx;
}

/* ---- life ---- */

void control_client_gone(struct control *k, struct client *c)
{
    const struct lease *l;

    for (struct pending **at = &k->pending; *at != NULL;) {
        if ((*at)->client == c)
            pending_free(k, at);
        else
            at = &(*at)->next;
    }
    while ((l = lease_held_by(&k->leases, c)) != NULL)
        control_release(k, l->serial, c);
    process_unwatch(k, c);
}

void control_free(struct control *k)
{
    if (k == NULL)
        return;
    while (k->pending != NULL)
        pending_free(k, &k->pending);
    while (k->watches != NULL)
        process_unwatch(k, k->watches->client);
    leases_free(&k->leases);
    sd_event_source_disable_unref(k->timer);
    free(k);
}

int control_new(struct control **out, sd_event *event, struct hub *hub)
{
    struct control *k = calloc(1, sizeof(*k));
    int r;

    if (k == NULL)
        return -ENOMEM;
    k->event = event;
    k->hub = hub;
    r = sd_event_add_time_relative(event, &k->timer, CLOCK_MONOTONIC, 0, TIMER_ACCURACY_US, on_timer, k);
    if (r >= 0)
        r = sd_event_source_set_enabled(k->timer, SD_EVENT_OFF);
    if (r < 0) {
        control_free(k);
        return r;
    }
    *out = k;
    return 0;
}
