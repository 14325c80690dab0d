#include "control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "log.h"

enum { TIMER_ACCURACY_US = 5000, WAIT_DEFAULT_MS = 30000, WAIT_MAX_MS = 600000, WAITING_MAX = 64 };

struct waiting { /* who wants a lease that another holds; the longest first */
    struct waiting *next;
    struct client *client;
    uint32_t id;
    uint64_t until_us, liveness_us;
    char serial[33];
};

struct watch { /* the process of a program that has a lease */
    struct watch *next;
    struct control *control;
    struct client *client;
    sd_event_source *source;
};

struct control {
    struct client_env *env;
    struct leases leases;
    struct waiting *waiting;
    unsigned waiting_count;
    struct watch *watches;
    sd_event_source *timer; /* on while there is a lease */
    uint64_t ping_at_us;
    void (*lost)(void *ctx, const char *serial, const char *name);
    void *lost_ctx;
};

static uint64_t now_us(const struct control *k)
{
    uint64_t now = 0;

    sd_event_now(k->env->event, CLOCK_MONOTONIC, &now);
    return now;
}

/* Every program that watches sees whose the pen is now. */
static void show(const struct control *k, const char *serial)
{
    struct pen *p = hub_pen(k->env->hub, serial);
    const struct lease *l = lease_of(&k->leases, serial);

    hub_set_owner(k->env->hub, serial, l != NULL ? l->name : NULL, l != NULL ? l->pid : 0);
    if (p != NULL)
        hub_pen_changed(k->env->hub, p);
}

static void tell(const void *client, Mnc__LeaseChange what, const char *serial, const struct client *other, const char *text)
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
    client_tell((struct client *)(uintptr_t)client, &m);
}

static void free_waiting(struct control *k, struct waiting **at)
{
    struct waiting *w = *at;

    *at = w->next;
    k->waiting_count--;
    free(w);
}

/* The needles of a pen that loses its owner stop. */
static void stop(const struct control *k, const struct lease *l)
{
    struct pen *p = hub_pen(k->env->hub, l->serial);

    if (p != NULL)
        pen_stop(p);
    if (k->lost != NULL)
        k->lost(k->lost_ctx, l->serial, l->name);
}

/* ---- the processes of owners ---- */

static void unwatch(struct control *k, const struct client *c)
{
    for (struct watch **at = &k->watches; *at != NULL; at = &(*at)->next) {
        struct watch *w = *at;

        if (w->client != c)
            continue;
        *at = w->next;
        sd_event_source_disable_unref(w->source); /* which closes its descriptor */
        free(w);
        return;
    }
}

static void release(struct control *k, const char *serial, const void *owner);

/* It has died. Its connection may live on in a child of it, which steers nothing. */
static int on_process(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    struct watch *w = userdata;
    struct control *k = w->control;
    struct client *c = w->client;
    const struct lease *l;

    (void)source;
    (void)fd;
    (void)events;
    while ((l = lease_any_of(&k->leases, c)) != NULL) {
        char text[200];

        snprintf(text, sizeof(text), "%s has ended and has lost control of pen %s; the needles were stopped", l->name, l->serial);
        log_warning("%s", text);
        hub_note(k->env->hub, MNC__JOURNAL_KIND__JOURNAL_CONTROL, l->serial, text);
        release(k, l->serial, c);
    }
    unwatch(k, c);
    return 0;
}

/* 0: it is watched, or cannot be, and its liveness has to do. -ESRCH: it has ended. */
static int watch(struct control *k, struct client *c)
{
    struct watch *w = k->watches;
    int fd, r;

    while (w != NULL && w->client != c)
        w = w->next;
    if (w != NULL)
        return 0;
    fd = client_pidfd(c);
    if (fd < 0)
        return fd == -ESRCH ? fd : 0;
    w = calloc(1, sizeof(*w));
    if (w == NULL) {
        close(fd);
        return -ENOMEM;
    }
    *w = (struct watch){.next = k->watches, .control = k, .client = c};
    r = sd_event_add_io(k->env->event, &w->source, fd, EPOLLIN, on_process, w);
    if (r >= 0)
        r = sd_event_source_set_io_fd_own(w->source, true);
    if (r < 0) {
        sd_event_source_disable_unref(w->source);
        close(fd);
        free(w);
        return r;
    }
    k->watches = w;
    return 0;
}

/* ---- giving ---- */

/* When the timer is next: an owner is asked, or was silent for too long. */
static void schedule(struct control *k)
{
    uint64_t at_us = lease_deadline_us(&k->leases);

    at_us = k->ping_at_us < at_us ? k->ping_at_us : at_us;
    sd_event_source_set_time(k->timer, at_us);
    sd_event_source_set_enabled(k->timer, k->leases.count > 0 ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

static int give(struct control *k, const char *serial, struct client *c, uint64_t liveness_us, bool by_force)
{
    const struct lease *l = lease_of(&k->leases, serial);
    const void *before = l != NULL ? l->owner : NULL;
    int r = before == NULL || by_force || before == c ? watch(k, c) : 0;

    if (r == 0)
        r = lease_take(&k->leases, serial, c, client_name(c), client_pid(c), liveness_us, now_us(k), by_force);
    if (r < 0)
        return r;
    if (before != c)
        log_info("pen %s is controlled by %s", serial, client_name(c));
    if (k->ping_at_us < now_us(k) || k->ping_at_us > now_us(k) + lease_ping_us(&k->leases))
        k->ping_at_us = now_us(k) + lease_ping_us(&k->leases);
    schedule(k);
    show(k, serial);
    return 0;
}

static void refuse_give(struct client *c, uint32_t id, int r)
{
    if (r == -ESRCH)
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_LEASE, "the process that connected (pid %d) has ended: connect anew", (int)client_pid(c));
    else
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_BUSY, r == -ENOMEM ? "the daemon is out of memory" : "no process can be watched now: %s", strerror(-r));
}

/* It is free now: the next one has it that can. */
static void freed(struct control *k, const char *serial)
{
    struct waiting **at = &k->waiting;

    while (*at != NULL) {
        struct waiting w = **at;
        int r;

        if (strcmp(w.serial, serial) != 0) {
            at = &(*at)->next;
            continue;
        }
        free_waiting(k, at);
        r = give(k, serial, w.client, w.liveness_us, false);
        if (r == 0) {
            client_say_done(w.client, w.id);
            return;
        }
        refuse_give(w.client, w.id, r);
    }
    show(k, serial);
}

static void release(struct control *k, const char *serial, const void *owner)
{
    const struct lease *l = lease_of(&k->leases, serial);
    struct lease lost;

    if (l == NULL)
        return;
    lost = *l;
    if (lease_release(&k->leases, lost.serial, owner)) {
        stop(k, &lost);
        freed(k, lost.serial);
    }
}

/* ---- time ---- */

static void lose_silent(struct control *k)
{
    const struct lease *l;

    while ((l = lease_silent(&k->leases, now_us(k))) != NULL) {
        char text[200];

        snprintf(text, sizeof(text), "%s did not answer for %.3g s and has lost control of pen %s; the needles were stopped", l->name, (double)l->liveness_us / 1e6,
                 l->serial);
        log_warning("%s", text);
        hub_note(k->env->hub, MNC__JOURNAL_KIND__JOURNAL_CONTROL, l->serial, text);
        tell(l->owner, MNC__LEASE_CHANGE__LEASE_LOST, l->serial, NULL, text);
        release(k, l->serial, l->owner);
    }
}

static void end_waits(struct control *k)
{
    uint64_t now = now_us(k);

    for (struct waiting **at = &k->waiting; *at != NULL;) {
        struct waiting w = **at;
        const struct lease *l = lease_of(&k->leases, w.serial);

        if (now < w.until_us) {
            at = &(*at)->next;
            continue;
        }
        free_waiting(k, at);
        client_refuse(w.client, w.id, MNC__ERROR_CODE__ERROR_LEASE, "pen %s is still controlled by %s", w.serial, l != NULL ? l->name : "another program");
    }
}

static void ping(const struct control *k)
{
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__Ping ping = MNC__PING__INIT;

    m.body_case = MNC__SERVER_MESSAGE__BODY_PING;
    m.ping = &ping;
    for (size_t i = 0; i < k->leases.count; i++) {
        const void *owner = k->leases.list[i].owner;
        size_t first = 0;

        while (k->leases.list[first].owner != owner)
            first++;
        if (first == i) /* once, however many it has */
            client_tell((struct client *)(uintptr_t)owner, &m);
    }
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
    struct control *k = userdata;

    (void)s;
    (void)usec;
    lose_silent(k);
    end_waits(k);
    if (now_us(k) >= k->ping_at_us) {
        ping(k);
        k->ping_at_us = now_us(k) + lease_ping_us(&k->leases);
    }
    schedule(k);
    return 0;
}

/* ---- asking ---- */

static void refuse_held(struct client *c, uint32_t id, const struct lease *l)
{
    client_refuse(c, id, MNC__ERROR_CODE__ERROR_LEASE, "pen %s is controlled by %s", l->serial, l->name);
}

static void take(struct control *k, struct client *c, uint32_t id, const char *serial, uint64_t liveness_us)
{
    int r = give(k, serial, c, liveness_us, false);

    if (r == 0)
        client_say_done(c, id);
    else if (r == -EBUSY)
        refuse_held(c, id, lease_of(&k->leases, serial));
    else
        refuse_give(c, id, r);
}

static void take_over(struct control *k, struct client *c, uint32_t id, const char *serial, uint64_t liveness_us)
{
    const struct lease *l = lease_of(&k->leases, serial);
    char text[300];
    int r;

    if (client_role(c) < ROLE_SERVICE) {
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_FORBIDDEN, "only the service role takes a lease over; your user is %s", role_name(client_role(c)));
        return;
    }
    r = watch(k, c);
    if (r < 0) { /* before anybody is told */
        refuse_give(c, id, r);
        return;
    }
    if (l != NULL && l->owner != c) {
        snprintf(text, sizeof(text), "%s has taken control of pen %s over from %s; the needles were stopped", client_name(c), serial, l->name);
        log_warning("%s", text);
        hub_note(k->env->hub, MNC__JOURNAL_KIND__JOURNAL_CONTROL, serial, text);
        tell(l->owner, MNC__LEASE_CHANGE__LEASE_LOST, serial, c, text);
        stop(k, l);
    }
    r = give(k, serial, c, liveness_us, true);
    if (r == 0)
        client_say_done(c, id);
    else
        refuse_give(c, id, r);
}

static void ask_owner(struct control *k, struct client *c, uint32_t id, const char *serial, uint64_t liveness_us, uint32_t wait_ms)
{
    const struct lease *l = lease_of(&k->leases, serial);
    struct waiting *w, **at = &k->waiting;

    if (l == NULL || l->owner == c) {
        take(k, c, id, serial, liveness_us);
        return;
    }
    w = k->waiting_count < WAITING_MAX ? calloc(1, sizeof(*w)) : NULL;
    if (w == NULL) {
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_BUSY, "too many programs wait for leases");
        return;
    }
    if (wait_ms == 0 || wait_ms > WAIT_MAX_MS)
        wait_ms = wait_ms == 0 ? WAIT_DEFAULT_MS : WAIT_MAX_MS;
    *w = (struct waiting){.client = c, .id = id, .until_us = now_us(k) + (uint64_t)wait_ms * 1000, .liveness_us = liveness_us};
    snprintf(w->serial, sizeof(w->serial), "%s", serial);
    while (*at != NULL)
        at = &(*at)->next;
    *at = w;
    k->waiting_count++;
    tell(l->owner, MNC__LEASE_CHANGE__LEASE_REQUESTED, serial, c, NULL);
}

/* To the one that has waited longest, or to the one of this pid. */
static void hand_on(struct control *k, struct client *c, uint32_t id, const char *serial, uint32_t pid)
{
    for (struct waiting **at = &k->waiting; *at != NULL; at = &(*at)->next) {
        struct waiting w = **at;
        int r;

        if (strcmp(w.serial, serial) != 0 || (pid != 0 && (uint32_t)client_pid(w.client) != pid))
            continue;
        free_waiting(k, at);
        r = watch(k, w.client);
        if (r < 0) {
            refuse_give(w.client, w.id, r);
            client_refuse(c, id, MNC__ERROR_CODE__ERROR_LEASE, "%s cannot have it now: you keep control of pen %s", client_name(w.client), serial);
            return;
        }
        stop(k, lease_of(&k->leases, serial));
        give(k, serial, w.client, w.liveness_us, true); /* there is room: it replaces one */
        client_say_done(w.client, w.id);
        client_say_done(c, id);
        return;
    }
    client_refuse(c, id, MNC__ERROR_CODE__ERROR_LEASE, "no such program has asked for control of pen %s", serial);
}

void control_lease(struct control *k, struct client *c, uint32_t id, const Mnc__Lease *m)
{
    const char *serial = m->serial;
    uint64_t liveness_us = m->has_liveness_ms ? (uint64_t)m->liveness_ms * 1000 : LEASE_LIVENESS_US;
    const struct lease *l;
    const struct pen *p;

    if (liveness_us < LEASE_LIVENESS_MIN_US || liveness_us > LEASE_LIVENESS_MAX_US) {
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_MALFORMED, "a lease's liveness is 250 to 5000 ms, not %u", m->liveness_ms);
        return;
    }
    if (serial == NULL || serial[0] == '\0' || strlen(serial) > 32 || !m->has_action) {
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_MALFORMED, "LEASE needs serial and action");
        return;
    }
    p = hub_pen(k->env->hub, serial);
    if (p != NULL && pen_serial(p)[0] != '\0')
        serial = pen_serial(p); /* it may be named by where it is */
    l = lease_of(&k->leases, serial);
    if ((m->action == MNC__LEASE_ACTION__LEASE_RELEASE || m->action == MNC__LEASE_ACTION__LEASE_GIVE) && (l == NULL || l->owner != c)) {
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_LEASE, "you do not control pen %s", serial);
        return;
    }
    if (l == NULL && p == NULL) {
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_NO_PEN, "no pen with serial number %s is plugged in", serial);
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
        ask_owner(k, c, id, serial, liveness_us, m->wait_ms);
        break;
    case MNC__LEASE_ACTION__LEASE_GIVE:
        hand_on(k, c, id, serial, m->pid);
        break;
    case MNC__LEASE_ACTION__LEASE_RELEASE:
        release(k, serial, c);
        client_say_done(c, id);
        break;
    default:
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_UNSUPPORTED, "this mnd does not know lease action %d", (int)m->action);
        break;
    }
}

void control_pong(struct control *k, const struct client *c)
{
    lease_heard(&k->leases, c, now_us(k));
}

const struct lease *control_owner(const struct control *k, const char *serial)
{
    return lease_of(&k->leases, serial);
}

void control_on_lost(struct control *k, void (*lost)(void *ctx, const char *serial, const char *name), void *ctx)
{
    k->lost = lost;
    k->lost_ctx = ctx;
}

/* ---- beginning and end ---- */

void control_forget(struct control *k, struct client *c)
{
    const struct lease *l;

    for (struct waiting **at = &k->waiting; *at != NULL;) {
        if ((*at)->client == c)
            free_waiting(k, at);
        else
            at = &(*at)->next;
    }
    while ((l = lease_any_of(&k->leases, c)) != NULL)
        release(k, l->serial, c);
    unwatch(k, c);
}

int control_new(struct control **out, struct client_env *env)
{
    struct control *k = calloc(1, sizeof(*k));
    int r;

    if (k == NULL)
        return -ENOMEM;
    k->env = env;
    r = sd_event_add_time_relative(env->event, &k->timer, CLOCK_MONOTONIC, 0, TIMER_ACCURACY_US, on_timer, k);
    if (r >= 0)
        r = sd_event_source_set_enabled(k->timer, SD_EVENT_OFF);
    if (r < 0) {
        control_free(k);
        return r;
    }
    *out = k;
    return 0;
}

void control_free(struct control *k)
{
    if (k == NULL)
        return;
    while (k->waiting != NULL)
        free_waiting(k, &k->waiting);
    while (k->watches != NULL)
        unwatch(k, k->watches->client);
    leases_free(&k->leases);
    sd_event_source_disable_unref(k->timer);
    free(k);
}
