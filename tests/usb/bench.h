/*
 * The words of the tests in this folder: pens on a mocked usbfs, the daemon's own code on libusb above it, and what a client would be told. Each test
 * asserts first that its pens were there.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "heap.h"
#include "hub.h"
#include "link.h"
#include "log.h"
#include "mock.h"
#include "pen.pb-c.h"

enum { PENS = 16, PATIENCE_MS = 8000 };

extern struct bench_fx {
    sd_event *event;
    struct usb_bus *bus;
    struct hub *hub;
    struct subscriber subscriber;
    struct mock_pen *pens[PENS];
    unsigned pen_count;
    /* what a client would have been told */
    uint64_t samples, missed, wrong_values, events;
    uint32_t boot_id; /* of the last batch */
    uint64_t records;
    bool record_order_broken;
    struct {
        uint32_t boot_id, last_record;
        uint64_t next_seq;
    } of[PENS];
    char dir[64], journal[96];
    /* the last call */
    bool answered;
    enum pen_result result;
    uint16_t type;
    unsigned answers;
} fx;

uint64_t now_ms(void);

/* Serial numbers are MOCK-1, MOCK-2 ... */
size_t index_of(const char *serial);

void take_telemetry(const Mnc__Telemetry *t);

/* What a program that follows the records would be told: of each pen one after the other. */
void on_committed(void *ctx, const struct journal_record *const *r, size_t n);

void take_message(const uint8_t *bytes, size_t n);

void push(struct subscriber *s, struct buf *b);

void flush(struct subscriber *s);

/* One turn of the daemon's loop: libusb's descriptors cannot be waited for here, so it is looked at each time. */
void turn(uint64_t wait_us);

#define until(condition)                                                                                               \
    do {                                                                                                               \
        uint64_t end_ms_ = now_ms() + PATIENCE_MS;                                                                     \
        while (!(condition)) {                                                                                         \
            if (now_ms() > end_ms_)                                                                                    \
                fail_msg("%s:%d: not within %d ms: %s (%s)", __FILE__, __LINE__, PATIENCE_MS, #condition, last_error());  \
            turn(200);                                                                                                 \
        }                                                                                                              \
    } while (0)

void run(unsigned ms);

struct pen *first_pen(void);

const char *last_error(void);

bool says(const char *words);

unsigned ready(void);

Mnc__LinkCounters counters(void);

struct mock_pen *new_pen(void);

/* A pen is plugged in and gets ready. */
struct mock_pen *good_pen(void);

void on_done(void *ctx, uint32_t id, enum pen_result result, uint16_t type, const uint8_t *payload, size_t n);

void ask(uint16_t type, const void *payload, size_t n);

void echo_comes_back(size_t n);

/* The pen works: it answers, and telemetry flows without a lie. */
void all_is_well(void);

int start(void **state);

int stop(void **state);

int busy_for_good(struct mock_pen *p);

int control_held(struct mock_pen *p, uint8_t request);
