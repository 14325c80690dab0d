/* faults show: one fault, with the telemetry around it, in the terminal or as a page to mail. */
#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "escape.h"
#include "mnctl.h"

enum { BEFORE_S = 5, AFTER_S = 1, PLOTS = 3, BUCKETS = 600, ROWS = 6, COLUMNS_MIN = 40, COLUMNS_MAX = 110 };
enum { PAGE_WIDTH = 560, PAGE_HEIGHT = 210, LEFT = 80, RIGHT = 8, TOP = 16, BOTTOM = 34 }; /* of a plot on the page, in px */

/* One signal over time: its minimum and maximum in each slice of the six seconds. */
struct plot {
    const char *title, *unit;
    double scale;          /* from the raw value to the unit */
    double low[BUCKETS], high[BUCKETS];
    bool has[BUCKETS];
    double least, greatest;
};

struct page {
    struct mn_record r;
    const struct mn_fault *fault;
    struct plot plots[PLOTS];
    uint64_t samples, missed;
    bool has_slow;
    double motor_c, grip_c;
    int battery_mv, battery_pct;
};

/* ---- collecting ---- */

static size_t bucket_of(double t_s)
{
    double i = (t_s + BEFORE_S) * BUCKETS / (BEFORE_S + AFTER_S);

    return i < 0 ? 0 : i >= BUCKETS ? BUCKETS - 1 : (size_t)i;
}

static void add(struct plot *p, double t_s, int32_t value)
{
    size_t i = bucket_of(t_s);
    double v = value * p->scale;

    p->low[i] = !p->has[i] || v < p->low[i] ? v : p->low[i];
    p->high[i] = !p->has[i] || v > p->high[i] ? v : p->high[i];
    p->has[i] = true;
    p->least = v < p->least ? v : p->least;
    p->greatest = v > p->greatest ? v : p->greatest;
}

static void collect(struct page *page, const struct mn_flight *flight)
{
    for (size_t i = 0; i < flight->count; i++) {
        const struct mn_fast *f = &flight->batch[i].fast;
        const struct mn_slow *s = &flight->batch[i].slow;

        page->samples += f->count;
        page->missed += f->missed;
        for (size_t k = 0; k < f->count; k++) {
            double t_s = ((double)(f->t0_us + k * f->period_us) - (double)page->r.t_us) / 1e6;

            add(&page->plots[0], t_s, f->depth_um[k]);
            add(&page->plots[1], t_s, f->stroke_rate_dhz[k]);
            add(&page->plots[2], t_s, f->motor_current_ma[k]);
        }
        if (s->count > 0 && (s->t0_us <= page->r.t_us || !page->has_slow)) { /* the last value before the fault */
            page->has_slow = true;
            page->motor_c = s->motor_temp_dc[s->count - 1] / 10.0;
            page->grip_c = s->grip_temp_dc[s->count - 1] / 10.0;
            page->battery_mv = s->battery_mv[s->count - 1];
            page->battery_pct = s->battery_soc_pct[s->count - 1];
        }
    }
}

/* The next round number at or above value: where the axis ends. */
static double round_up(double value)
{
    double step;

    if (value <= 0)
        return 1;
    step = pow(10, floor(log10(value)));
    for (const double *k = (const double[]){1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 0}; *k != 0; k++) {
        if (value <= *k * step)
            return *k * step;
    }
    return 10 * step;
}

/* ---- in the terminal ---- */

static int terminal_columns(void)
{
    struct winsize size = {0};
    int columns = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;

    return columns < COLUMNS_MIN ? COLUMNS_MIN : columns > COLUMNS_MAX ? COLUMNS_MAX : columns;
}

static void print_plot(const struct plot *p, int width)
{
    static const char *const utf8[] = {" ", "\u2581", "\u2582", "\u2583", "\u2584", "\u2585", "\u2586", "\u2587", "\u2588"},
                             *const ascii[] = {" ", ".", ".", ":", ":", "|", "|", "#", "#"};
    const char *const *blocks = strcmp(nl_langinfo(CODESET), "UTF-8") == 0 ? utf8 : ascii;
    double top = round_up(p->greatest);

    printf("%s%s, %s%s\n", colour(COLOUR_BOLD), p->title, p->unit, colour(COLOUR_NONE));
    for (int row = ROWS; row-- > 0;) {
        if (row == ROWS - 1 || row == 0)
            printf("%7.6g |", row == 0 ? 0 : top);
        else
            printf("%7s |", "");
        for (int x = 0; x < width; x++) {
            double v = 0;
            int eighths;

            for (int i = x * BUCKETS / width; i < (x + 1) * BUCKETS / width; i++)
                v = p->has[i] && p->high[i] > v ? p->high[i] : v;
            eighths = (int)lround(v / top * ROWS * 8) - row * 8;
            fputs(blocks[eighths < 0 ? 0 : eighths > 8 ? 8 : eighths], stdout);
        }
        printf("\n");
    }
}

static void print_plots(const struct page *page)
{
    int width = terminal_columns() - 10, fault = width * BEFORE_S / (BEFORE_S + AFTER_S);

    for (int i = 0; i < PLOTS; i++) {
        print_plot(&page->plots[i], width);
        printf("%8s+", "");
        for (int x = 0; x < width; x++)
            putchar(x == fault ? '^' : '-');
        printf("\n");
    }
    printf("%8s-%d s%*s%s%s%s%*s\n\n", "", BEFORE_S, fault - 4, "", colour(COLOUR_BAD), "fault", colour(COLOUR_NONE), width - fault - 5, "+1 s");
}

static void print_text(const struct page *page)
{
    const struct mn_record *r = &page->r;
    char when[40];

    format_time(r->host_us, when, sizeof(when));
    printf("%s%" PRIu32 " %s%s %s, priority %c: %s\n", colour(r->fault.raised ? COLOUR_BAD : COLOUR_GOOD), r->fault.code,
           page->fault != NULL ? page->fault->name : "UNKNOWN", colour(COLOUR_NONE), r->fault.raised ? "raised" : "cleared",
           page->fault != NULL ? page->fault->priority : '?', page->fault != NULL ? page->fault->text : "a later libmn knows it");
    printf("pen %s, record %" PRIu32 ", in %s, %.3f s after its boot\n", r->serial, r->number, mn_state_name(r->fault.state), (double)r->t_us / 1e6);
    if (r->host_bound_us != MN_BOUND_UNKNOWN)
        printf("%s, give or take %.1f ms\n", when, r->host_bound_us / 1000.0);
    else
        printf("%s at latest\n", when);
    if (page->has_slow)
        printf("motor %.1f C, grip %.1f C, battery %d mV, %d %%\n", page->motor_c, page->grip_c, page->battery_mv, page->battery_pct);
    printf("\n");
    if (page->samples > 0)
        print_plots(page);
}

/* ---- as a page ---- */

static double page_x(double t_s)
{
    return LEFT + (t_s + BEFORE_S) / (BEFORE_S + AFTER_S) * (PAGE_WIDTH - LEFT - RIGHT);
}

static double page_y(double value, double top)
{
    return TOP + (1 - value / top) * (PAGE_HEIGHT - TOP - BOTTOM);
}

static void write_plot(FILE *out, const struct plot *p)
{
    double top = round_up(p->greatest);
    bool drawing = false;

    fprintf(out, "<figure><figcaption>%s, %s</figcaption>\n<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s around the fault, up to %.10g %s\">\n",
            p->title, p->unit, PAGE_WIDTH, PAGE_HEIGHT, p->title, p->greatest, p->unit);
    for (int i = 0; i <= 4; i++)
        fprintf(out, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.10g</text>\n", LEFT,
                PAGE_WIDTH - RIGHT, page_y(top * i / 4, top), page_y(top * i / 4, top), LEFT - 8, page_y(top * i / 4, top) + 6, top * i / 4);
    for (int t = -BEFORE_S; t <= AFTER_S; t++)
        fprintf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"%s\">%s%d s</text>\n", page_x(t), PAGE_HEIGHT - 8,
                t == AFTER_S ? "end" : t == -BEFORE_S ? "start" : "middle", t > 0 ? "+" : "", t);
    fprintf(out, "<line class=\"fault\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>\n<path class=\"curve\" d=\"", page_x(0), page_x(0), TOP,
            PAGE_HEIGHT - BOTTOM);
    for (int i = 0; i < BUCKETS; i++) {
        double x = page_x((i + 0.5) * (BEFORE_S + AFTER_S) / BUCKETS - BEFORE_S);

        if (p->has[i])
            fprintf(out, "%c%.1f %.1fL%.1f %.1f", drawing ? 'L' : 'M', x, page_y(p->low[i], top), x, page_y(p->high[i], top));
        drawing = p->has[i]; /* the line is broken where samples are missing */
    }
    fprintf(out, "\"/>\n</svg></figure>\n");
}

static void write_row(FILE *out, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void write_row(FILE *out, const char *name, const char *format, ...)
{
    char text[600];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    escape_markup(out, "<tr><th scope=\"row\">%s</th><td>%s</td></tr>\n", name, text);
}

static void write_page(FILE *out, const struct page *page)
{
    const struct mn_record *r = &page->r;
    const char *name = page->fault != NULL ? page->fault->name : "UNKNOWN";
    char when[40], bound[40] = "at latest", faults[512];

    format_rfc3339(r->host_us, when, sizeof(when));
    if (r->host_bound_us != MN_BOUND_UNKNOWN)
        snprintf(bound, sizeof(bound), "\xc2\xb1 %.1f ms", r->host_bound_us / 1000.0);
    format_faults(r->fault.fault_word, faults, sizeof(faults));
    escape_markup(out,
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
            "<title>%" PRIu32 " %s, pen %s</title>\n<style>\n"
            ":root{color-scheme:light dark}body{font:16px/1.45 system-ui,sans-serif;max-width:60rem;margin:1rem auto;padding:0 .75rem}\n"
            "h1{font-size:1.4rem;margin:.2rem 0}table{border-collapse:collapse;margin:1rem 0;width:100%%}\n"
            "th{text-align:left;font-weight:600;padding:.2rem 1rem .2rem 0;vertical-align:top;white-space:nowrap}td{padding:.2rem 0;overflow-wrap:anywhere}\n"
            "figure{margin:1rem 0}figcaption{font-weight:600}svg{width:100%%;max-width:46rem;height:auto}svg text{font-size:15px;fill:currentColor}\n"
            ".grid{stroke:#8886;stroke-width:1}.fault{stroke:#d22;stroke-width:2;stroke-dasharray:6 4}.curve{fill:none;stroke:#27c;stroke-width:1.5}\n"
            "@media(max-width:30rem){svg text{font-size:21px}}@media print{body{margin:0}}\n"
            "</style></head><body>\n<h1>%" PRIu32 " %s</h1>\n<p>%s</p>\n<table>\n",
            r->fault.code, name, r->serial, r->fault.code, name, page->fault != NULL ? page->fault->text : "a later version knows it");
    write_row(out, "Pen", "%s", r->serial);
    escape_markup(out, "<tr><th scope=\"row\">Time</th><td>%s %s</td></tr>\n", when, bound);
    write_row(out, "Fault", "%s, priority %c", r->fault.raised ? "raised" : "cleared", page->fault != NULL ? page->fault->priority : '?');
    write_row(out, "State", "%s", mn_state_name(r->fault.state));
    write_row(out, "All faults then", "%s", faults);
    if (page->has_slow)
        write_row(out, "Before it", "motor %.1f C, grip %.1f C, battery %d mV, %d %%", page->motor_c, page->grip_c, page->battery_mv, page->battery_pct);
    write_row(out, "Pen's time", "%.3f s after boot %08" PRIx32, (double)r->t_us / 1e6, r->boot_id);
    write_row(out, "Record", "%" PRIu32 " of volume %" PRIu32 "; row %" PRIu64 " of journal %016" PRIx64, r->number, r->volume, r->cursor.position,
              r->cursor.journal);
    write_row(out, "Telemetry", "%" PRIu64 " samples, %" PRIu64 " missed", page->samples, page->missed);
    escape_markup(out, "</table>\n");
    for (int i = 0; i < PLOTS && page->samples > 0; i++)
        write_plot(out, &page->plots[i]);
    if (page->samples == 0)
        escape_markup(out, "<p>No telemetry was kept with this record.</p>\n");
    escape_markup(out, "<p><small>mnctl %s. The red line is the fault.</small></p>\n</body></html>\n", mn_version());
}

static int write_file(const struct page *page, const char *path, bool force)
{
    FILE *out = output_open(path, force);

    if (out == NULL)
        return EXIT_ERROR;
    write_page(out, page);
    return output_close(out, path);
}

static json_t *json_plot(const struct plot *p, bool high)
{
    json_t *list = json_array();

    for (int i = 0; i < BUCKETS; i++)
        json_array_append_new(list, p->has[i] ? json_real(high ? p->high[i] : p->low[i]) : json_null());
    return list;
}

static int print_page_json(const struct page *page)
{
    json_t *j = json_record(&page->r), *telemetry = json_object();

    json_object_set_new(telemetry, "samples", json_integer((json_int_t)page->samples));
    json_object_set_new(telemetry, "missed", json_integer((json_int_t)page->missed));
    json_object_set_new(telemetry, "from_s", json_integer(-BEFORE_S));
    json_object_set_new(telemetry, "to_s", json_integer(AFTER_S));
    for (int i = 0; i < PLOTS; i++)
        json_object_set_new(telemetry, page->plots[i].title,
                            json_pack("{s:s, s:o, s:o}", "unit", page->plots[i].unit, "low", json_plot(&page->plots[i], false), "high",
                                      json_plot(&page->plots[i], true)));
    json_object_set_new(j, "telemetry", telemetry);
    return print_json(j, false);
}

/* ---- finding it ---- */

/* Finds the record with this id, or, for id 0, the last fault that was raised. */
static int find(struct app *a, uint64_t id, struct mn_record *out)
{
    struct mn_filter filter = {.kinds = 1 << MN_RECORD_FAULT, .serial = a->pen};
    struct mn_records page = {0};
    struct mn_cursor place = {0};
    bool found = false, end;
    int r;

    do {
        r = mn_records_read(a->client, &place, &filter, &page, a->timeout_ms);
        if (r != MN_OK)
            return app_failed(a, r);
        if (id != 0 && place.journal == 0) { /* the journal's id is known now: read the row itself */
            place = (struct mn_cursor){page.next.journal, id - 1};
            mn_records_free(&page);
            r = mn_records_read(a->client, &place, NULL, &page, a->timeout_ms);
            if (r != MN_OK)
                return app_failed(a, r);
            page.end = true;
        }
        for (size_t i = 0; i < page.count; i++) {
            const struct mn_record *one = &page.record[i];

            if (id != 0 ? one->cursor.position == id : one->kind == MN_RECORD_FAULT && one->fault.raised) {
                *out = *one;
                found = true;
            }
        }
        place = page.next;
        end = page.end;
        mn_records_free(&page);
    } while (!end && !is_interrupted());
    if (!found && id != 0)
        fprintf(stderr, "mnctl: the journal has no record %" PRIu64 "; `mnctl records --kind fault` lists faults\n", id);
    else if (!found)
        fprintf(stderr, "mnctl: the journal has no fault\n");
    else if (out->kind != MN_RECORD_FAULT)
        fprintf(stderr, "mnctl: record %" PRIu64 " is no fault, but %s; `mnctl records --kind fault` lists faults\n", id, mn_record_kind_name(out->kind));
    return found && out->kind == MN_RECORD_FAULT ? EXIT_OK : EXIT_REFUSED;
}

int faults_show(struct app *a, int argc, char **argv)
{
    static struct page page = {.plots = {{.title = "depth", .unit = "mm", .scale = 0.001},
                                         {.title = "stroke rate", .unit = "Hz", .scale = 0.1},
                                         {.title = "motor current", .unit = "mA", .scale = 1}}};
    struct mn_flight flight = {0};
    const char *path = NULL;
    bool force = false;
    uint64_t id = 0;
    int r;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--html") == 0 && i + 1 < argc) {
            path = argv[++i];
        } else if (strcmp(argv[i], "--force") == 0) {
            force = true;
        } else {
            r = argv[i][0] == '-' || id != 0 ? usage_error("faults show takes the id of a record (`mnctl records --kind fault` lists them), --html FILE and --force, not %s", argv[i])
                                             : parse_number("faults show", argv[i], 1, UINT64_MAX / 16, &id);
            if (r != EXIT_OK)
                return r;
        }
    }
    if (path != NULL && !may_write(path, force))
        return EXIT_ERROR;
    r = app_connect(a, false);
    if (r == EXIT_OK)
        r = find(a, id, &page.r);
    if (r != EXIT_OK)
        return r;
    page.fault = mn_fault_by_code(page.r.fault.code);
    r = mn_flight_get(a->client, &page.r.cursor, &flight, a->timeout_ms);
    if (r != MN_OK && r != MN_ERR_NO_RECORD)
        return app_failed(a, r);
    collect(&page, &flight);
    mn_flight_free(&flight);
    if (page.samples == 0)
        fprintf(stderr, "mnctl: no telemetry was kept with it: that is done for raised faults of priority H and M, and takes a second\n");
    if (path != NULL)
        return write_file(&page, path, force);
    if (a->json)
        return print_page_json(&page);
    print_text(&page);
    return flush_output();
}
