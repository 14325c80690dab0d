/*
 * penstub: the pen's firmware as a Linux program. One loop: packets from the host, commands from the control socket, time.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "control_socket.h"
#include "ffs.h"
#include "line.h"
#include "port.h"
#include "program.h"
#include "text.h"

enum { PENS_MAX = 64, AT_MAX = 64, TICK_MS = 10, MOVING_TICK_MS = 2, RECONNECT_MS = 250, TURN_MS = 100, LAG_MAX_MS = 60000 };

struct timed_command {
    double at_s;
    const char *line;
    bool done;
};

struct options {
    const char *connect, *ffs, *send, *control, *serial, *nvm;
    char *defects;
    bool fresh;
    unsigned pens, seed;
    double speed;
    struct impair_config cable;
    struct timed_command at[AT_MAX];
    size_t at_count;
};

struct stub {
    struct options o;
    struct port *ports;
    struct control control;
    uint64_t real_us;         /* since the start */
    double due_ms;            /* the pens' time as it should be by now ... */
    uint64_t pen_ms;          /* ... and as it is */
    uint64_t reconnect_at_ms; /* real time */
    bool waiting_said;
};

static volatile sig_atomic_t stopping;

static void on_signal(int signal)
{
    (void)signal;
    stopping = 1;
}

static void print_help(void)
{
    char text[4000];

    snprintf(text, sizeof(text), "penstub - the firmware of a microneedling pen as a program, for tests and for learning\n"
           "\n"
           "usage: penstub --connect SOCKET [options]     a pen on the daemon's simulated link (mnd --sim-socket)\n"
           "       penstub --ffs DIRECTORY [options]      a pen on USB, by FunctionFS mounted there\n"
           "       penstub --send SOCKET LINE             says LINE to a running penstub's control socket\n"
           "\n"
           "  --serial TEXT      serial number [SIM-0001]; more pens count on: SIM-0002 ...\n"
           "  --pens N           so many pens in this program, 1 to %d [1]; --connect only\n"
           "  --nvm FILE         non-volatile memory, kept over restarts [none]; with --pens, FILE.1, FILE.2 ...\n"
           "  --speed X          pen seconds in a real second, as far as this machine can [1]; over 4 the host's heartbeat comes too late to arm\n"
           "  --seed N           of all randomness [1]\n"
           "  --fresh            pens that come off the factory's line: without serial number, their memory empty, their sensors not calibrated\n"
           "  --defects LIST     what the pens have, in their order, separated by commas; none is none; a wrong word lists them all\n"
           "  --at SECONDS:LINE  says LINE at that time of the pen, for instance --at 5:\"inject 1401\"; repeatable\n"
           "  --link TEXT        a bad cable from the start, as the line link below, for instance \"drop=0.01 delay=0.1:20\"\n"
           "  --control SOCKET   listens here for lines; with --pens, a line may begin with a serial number and a colon\n"
           "  --version, --help\n"
           "\n"
           "Lines:\n%s%s",
           PENS_MAX, vpen_help, port_help);
    text_help(stdout, text);
}

static uint64_t clock_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static bool is_printable(const char *text)
{
    while (*text > ' ' && *text <= '~')
        text++;
    return *text == '\0';
}

static int send_line(const char *path, const char *line)
{
    char answer[512];
    int fd = control_connect(path);
    ssize_t n;

    if (fd < 0 || send(fd, line, strlen(line), MSG_NOSIGNAL) < 0 || (n = recv(fd, answer, sizeof(answer), 0)) <= 0) {
        fprintf(stderr, "penstub: nobody answers at %s: %s\n", path, strerror(errno));
        return 1;
    }
    printf("%.*s\n", (int)n, answer);
    close(fd);
    return strncmp(answer, "ok", 2) != 0;
}

static bool parse_number(const char *text, double low, double high, double *out)
{
    char *end;

    *out = strtod(text, &end);
    return *text != '\0' && *end == '\0' && *out >= low && *out <= high;
}

static int usage_error(const char *what, const char *value)
{
    fprintf(stderr, "penstub: %s: %s\nTry penstub --help.\n", what, value);
    return 2;
}

/* -1: go on; else the exit code. */
static int parse_at(struct options *o, const char *text)
{
    char *end;
    double at_s = strtod(text, &end);

    if (end == text || *end != ':' || !(at_s >= 0) || o->at_count == AT_MAX)
        return usage_error("--at takes SECONDS:LINE", text);
    o->at[o->at_count++] = (struct timed_command){.at_s = at_s, .line = end + 1};
    return -1;
}

enum { CONNECT = 256, FFS, SEND, SERIAL, PENS, NVM, SPEED, SEED, FRESH, DEFECTS, AT, LINK, CONTROL, VERSION };

static const struct option long_options[] = {
    {"connect", required_argument, NULL, CONNECT}, {"ffs", required_argument, NULL, FFS},
    {"send", required_argument, NULL, SEND},       {"serial", required_argument, NULL, SERIAL},
    {"pens", required_argument, NULL, PENS},       {"nvm", required_argument, NULL, NVM},
    {"speed", required_argument, NULL, SPEED},     {"seed", required_argument, NULL, SEED},
    {"fresh", no_argument, NULL, FRESH},           {"defects", required_argument, NULL, DEFECTS},
    {"at", required_argument, NULL, AT},           {"link", required_argument, NULL, LINK},
    {"control", required_argument, NULL, CONTROL}, {"version", no_argument, NULL, VERSION},
    {"help", no_argument, NULL, 'h'},              {0},
};

/* Where the value of an option goes that takes any text; NULL: it is another option. */
static const char **text_option(struct options *o, int option)
{
    switch (option) {
    case CONNECT:
        return &o->connect;
    case FFS:
        return &o->ffs;
    case SEND:
        return &o->send;
    case NVM:
        return &o->nvm;
    case CONTROL:
        return &o->control;
    default:
        return NULL;
    }
}

static bool is_serial(const char *text)
{
    return text[0] != '\0' && strlen(text) <= VPEN_SERIAL_MAX - 5 && text[0] != '-' && text[0] != '@' && is_printable(text);
}

/* Takes an option with its value, optarg. -1: go on; else the exit code. */
static int take_option(struct options *o, int option, char **argv)
{
    const char **text = text_option(o, option), *wrong;
    double n;

    if (text != NULL) {
        *text = optarg;
        return -1;
    }
    switch (option) {
    case SERIAL:
        o->serial = optarg;
        return is_serial(optarg) ? -1 : usage_error("--serial takes 1 to 27 printable characters without blanks, and no - or @ in front", optarg);
    case PENS:
        if (!parse_number(optarg, 1, PENS_MAX, &n))
            return usage_error("--pens takes 1 to 64", optarg);
        o->pens = (unsigned)n;
        return -1;
    case SPEED:
        return parse_number(optarg, 0.01, 10000, &o->speed) ? -1 : usage_error("--speed takes 0.01 to 10000", optarg);
    case SEED:
        if (!parse_number(optarg, 0, 4294967295.0, &n))
            return usage_error("--seed takes a number", optarg);
        o->seed = (unsigned)n;
        return -1;
    case FRESH:
        o->fresh = true;
        return -1;
    case DEFECTS:
        o->defects = optarg;
        return -1;
    case AT:
        return parse_at(o, optarg);
    case LINK:
        wrong = impair_parse(&o->cable, optarg);
        return wrong == NULL ? -1 : usage_error("--link", wrong);
    case VERSION:
        printf("penstub %s, protocol %d.%d\n", PEN_FIRMWARE_VERSION, MN_PROTOCOL_MAJOR, MN_PROTOCOL_MINOR);
        return 0;
    case 'h':
        print_help();
        return 0;
    default:
        program_wrong_option("penstub", argv, long_options);
        return 2;
    }
}

/* -1: go on; else the exit code. */
static int parse_options(struct options *o, int argc, char **argv)
{
    int c, r = -1;

    opterr = 0;
    while (r < 0 && (c = getopt_long(argc, argv, "h", long_options, NULL)) != -1)
        r = take_option(o, c, argv);
    if (r >= 0)
        return r;
    if (o->send != NULL && optind + 1 == argc)
        return send_line(o->send, argv[optind]);
    if (optind < argc)
        return usage_error("not understood", argv[optind]);
    if ((o->connect == NULL) == (o->ffs == NULL))
        return usage_error("needs one of", "--connect SOCKET, --ffs DIRECTORY");
    if (o->ffs != NULL && o->pens != 1)
        return usage_error("--ffs is one pen", "start another penstub for the next");
    return -1;
}

static struct port *port_by_serial(struct stub *s, const char **line)
{
    const char *colon = strchr(*line, ':');

    for (unsigned i = 0; colon != NULL && i < s->o.pens; i++) {
        const char *serial = s->ports[i].vpen.pen.factory.serial;

        if (strlen(serial) == (size_t)(colon - *line) && strncmp(serial, *line, strlen(serial)) == 0) {
            *line = colon + 1 + strspn(colon + 1, " ");
            return &s->ports[i];
        }
    }
    return &s->ports[0];
}

static void carry_out(void *ctx, const char *line, char *answer, size_t cap)
{
    struct port *p = port_by_serial(ctx, &line);

    port_command(p, line, answer, cap);
}

static void send_timed_commands(struct stub *s, uint64_t pen_ms)
{
    char answer[512];

    for (size_t i = 0; i < s->o.at_count; i++) {
        struct timed_command *t = &s->o.at[i];
        const char *line = t->line;

        if (t->done || t->at_s * 1000 > (double)pen_ms)
            continue;
        t->done = true;
        port_command(port_by_serial(s, &line), line, answer, sizeof(answer));
        fprintf(stderr, "penstub: at %.3f s: %s: %s\n", t->at_s, t->line, answer);
    }
}

/* Connects the ports in order, since the daemon numbers them as they connect: while one cannot connect, those after it wait. */
static void connect_ports(struct stub *s, uint64_t real_ms)
{
    if (s->o.connect == NULL || real_ms < s->reconnect_at_ms)
        return;
    for (unsigned i = 0; i < s->o.pens; i++) {
        int fd = s->ports[i].fd < 0 ? control_connect(s->o.connect) : -1;

        if (fd >= 0) {
            port_attach(&s->ports[i], fd, fd, fd);
        } else if (s->ports[i].fd < 0) {
            if (!s->waiting_said)
                fprintf(stderr, "penstub: nobody listens at %s yet (%s); trying again\n", s->o.connect, strerror(errno));
            s->waiting_said = true;
            s->reconnect_at_ms = real_ms + RECONNECT_MS;
            return;
        }
    }
    s->waiting_said = false;
}

static int tick_ms(const struct stub *s)
{
    for (unsigned i = 0; i < s->o.pens; i++) {
        mnp_State state = s->ports[i].vpen.pen.state;

        if (state == mnp_State_STATE_ARMED || state == mnp_State_STATE_RUNNING || state == mnp_State_STATE_STOPPING)
            return MOVING_TICK_MS;
    }
    return TICK_MS;
}

/* Advances in small steps, so that a pen that runs fast still hears its host. True if there is more to catch up with. */
static bool advance_time(struct stub *s, uint64_t real_us)
{
    double lag_ms;

    s->due_ms += (double)(real_us - s->real_us) / 1000 * s->o.speed;
    s->real_us = real_us;
    lag_ms = s->due_ms - (double)s->pen_ms;
    if (lag_ms > LAG_MAX_MS) { /* after a suspension of the machine, not all of the time is made up for */
        lag_ms = LAG_MAX_MS;
        s->due_ms = (double)s->pen_ms + lag_ms;
    }
    s->pen_ms += lag_ms < TURN_MS ? (uint64_t)lag_ms : TURN_MS;
    return lag_ms > TURN_MS;
}

static void run(struct stub *s)
{
    uint64_t began_us = clock_us();
    struct pollfd fds[PENS_MAX + CONTROL_FDS];

    while (!stopping) {
        uint64_t real_us = clock_us() - began_us;
        bool behind = advance_time(s, real_us);

        connect_ports(s, real_us / 1000);
        send_timed_commands(s, s->pen_ms);
        for (unsigned i = 0; i < s->o.pens; i++) {
            port_advance(&s->ports[i], s->pen_ms);
            fds[i] = (struct pollfd){.fd = s->ports[i].fd, .events = POLLIN};
        }
        control_poll(&s->control, fds + s->o.pens);
        if (poll(fds, s->o.pens + CONTROL_FDS, behind ? 0 : tick_ms(s)) <= 0)
            continue;
        for (unsigned i = 0; i < s->o.pens; i++) {
            if (fds[i].revents != 0 && !port_readable(&s->ports[i])) {
                port_detach(&s->ports[i]);
                s->reconnect_at_ms = real_us / 1000 + RECONNECT_MS;
            }
        }
        control_serve(&s->control, fds + s->o.pens, carry_out, s);
    }
}

static int give_defects(struct stub *s)
{
    char *save = NULL, *name = s->o.defects != NULL ? strtok_r(s->o.defects, ",", &save) : NULL;
    const char *wrong = NULL;

    for (unsigned i = 0; name != NULL && wrong == NULL; i++, name = strtok_r(NULL, ",", &save))
        wrong = i < s->o.pens ? line_defect(&s->ports[i].vpen, name) : "there are more defects than pens";
    return wrong != NULL ? usage_error("--defects", wrong) : 0;
}

static int make_pens(struct stub *s)
{
    char serial[VPEN_SERIAL_MAX + 8], nvm[4096];

    s->ports = calloc(s->o.pens, sizeof(*s->ports));
    if (s->ports == NULL) {
        fprintf(stderr, "penstub: no memory for %u pens\n", s->o.pens);
        return 1;
    }
    for (unsigned i = 0; i < s->o.pens; i++) {
        int r;

        if (s->o.fresh)
            serial[0] = '\0';
        else if (s->o.serial != NULL && s->o.pens == 1)
            snprintf(serial, sizeof(serial), "%s", s->o.serial);
        else
            snprintf(serial, sizeof(serial), "%.27s-%04u", s->o.serial ? s->o.serial : "SIM", i + 1);
        if (s->o.nvm != NULL)
            snprintf(nvm, sizeof(nvm), s->o.pens == 1 ? "%s" : "%s.%u", s->o.nvm, i + 1);
        r = port_init(&s->ports[i], serial, s->o.seed + i, s->o.nvm ? nvm : NULL, &s->o.cable);
        if (r < 0) {
            fprintf(stderr, "penstub: cannot use %s as the pen's memory: %s\n", s->o.nvm ? nvm : "RAM",
                    r == -EINVAL ? "it is no pen's memory (wrong size)" : strerror(-r));
            return 1;
        }
    }
    return give_defects(s);
}

static int plug_into_ffs(struct stub *s)
{
    static struct ffs ffs; /* used by its threads until the program ends */
    const char *step;
    int r = ffs_open(&ffs, s->o.ffs, &step);

    if (r < 0) {
        fprintf(stderr, "penstub: cannot %s in %s: %s\n", step, s->o.ffs, strerror(-r));
        return 1;
    }
    s->ports[0].plugged = false; /* until the bus reports that the pen is configured */
    port_attach(&s->ports[0], ffs.to_pen[0], ffs.bulk[0], ffs.interrupt[0]);
    printf("ready\n"); /* the gadget may be bound now */
    fflush(stdout);
    return 0;
}

int main(int argc, char **argv)
{
    struct stub s = {.o = {.pens = 1, .seed = 1, .speed = 1}};
    struct sigaction action = {.sa_handler = on_signal};
    char why[500];
    int r;

    program_begin();
    r = parse_options(&s.o, argc, argv);
    if (r >= 0)
        return program_end("penstub", r, 1);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    r = make_pens(&s);
    if (control_open(&s.control, r == 0 ? s.o.control : NULL, why, sizeof(why)) < 0) {
        fprintf(stderr, "penstub: %s\n", why);
        r = 1;
    }
    if (r == 0 && s.o.ffs != NULL)
        r = plug_into_ffs(&s);
    if (r == 0)
        run(&s);
    for (unsigned i = 0; s.ports != NULL && i < s.o.pens; i++)
        port_deinit(&s.ports[i]);
    free(s.ports);
    control_close(&s.control, s.o.control);
    return r;
}
