/* libmn: monitoring: everything between the daemon, its pens and its programs. Included by mn/mn.h, which begins with an overview. */
#ifndef MN_MONITOR_H
#define MN_MONITOR_H

#ifndef MN_MN_H
#error "include <mn/mn.h>"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- monitoring ---- */

/* All that goes by between mnd, its pens and its programs comes as MN_EVENT_TRAFFIC: live, lossy, every hole counted. The traffic of programs that
 * monitor themselves is left out. For finding out what is wrong; `mnctl monitor` is made of it. Errors: CALL; MN_ERR_FORBIDDEN (needs the role
 * service). */
MN_API int mn_monitor(mn_client *c, bool on, int timeout_ms);
MN_API int mn_monitor_async(mn_client *c, bool on, int timeout_ms, mn_result_fn *done, void *user);

enum mn_traffic_kind {
    MN_TRAFFIC_UNKNOWN,
    MN_TRAFFIC_CONTROL,      /* to the pen: an EP0 vendor request, one byte */
    MN_TRAFFIC_BULK_OUT,     /* to the pen */
    MN_TRAFFIC_BULK_IN,      /* from the pen */
    MN_TRAFFIC_INTERRUPT_IN, /* from the pen */
    MN_TRAFFIC_TO_DAEMON,    /* from a program */
    MN_TRAFFIC_TO_PROGRAM
};

MN_API const char *mn_traffic_kind_name(enum mn_traffic_kind kind); /* "BULK_IN" */

struct mn_traffic {
    uint64_t time_us;      /* Unix time */
    enum mn_traffic_kind kind;
    const char *name;      /* the pen's serial number, or its port until that is known; the program's name */
    uint32_t pid;          /* of the program; 0: a pen */
    const uint8_t *bytes;  /* the very bytes */
    size_t count;
    uint64_t missed;       /* transfers and messages that this program was too slow for, just before this one */
};

/* The transfer decoded, as a JSON object on one line; bytes that do not decode are in it in hexadecimal, with what is wrong.
 * free() it; NULL without memory. */
MN_API char *mn_traffic_json(const struct mn_traffic *traffic);

/* The requests that the daemon knows, as proto/requests.def has them: what one sees of clients in their traffic. Any thread; needs no connection. */
struct mn_request {
    const char *name;   /* "session_arm", as in the protocol */
    enum mn_role role;  /* the least role that may send it; a call that changes a pen needs more */
    bool needs_hello;   /* only after HELLO */
    const char *text;   /* one sentence: what it is for */
};
MN_API size_t mn_request_count(void);
/* NULL: there are not so many. */
MN_API const struct mn_request *mn_request_at(size_t i);

#ifdef __cplusplus
}
#endif
#endif
