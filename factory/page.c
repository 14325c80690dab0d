/*
 * The page: self-contained HTML with inline SVG, no script, for a screen of any width, light or dark, and for paper. Curves of depth and rate within
 * their limits, the spread of every measurement, yield, capability, and what failed where.
 */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "escape.h"
#include "report.h"
#include "stats.h"
#include "verdict.h"

enum { WIDTH = 560, HEIGHT = 240, LEFT = 64, RIGHT = 12, TOP = 12, BOTTOM = 40, BINS = 24, SMALL_WIDTH = 300, SMALL_HEIGHT = 110 };

static const char *text_of(const json_t *j, const char *key)
{
    const char *text = json_string_value(json_object_get(j, key));

    return text != NULL ? text : "";
}

static double number_of(const json_t *j, const char *key)
{
    return json_number_value(json_object_get(j, key));
}

static const char style[] =
    ":root{color-scheme:light dark;--good:#1a7f37;--bad:#cf222e;--warn:#7d5700;--line:#8886}\n"
    "@media(prefers-color-scheme:dark){:root{--good:#5bd67a;--bad:#ff8078;--warn:#e8b44c}}\n"
    ".banner{border:3px solid var(--warn);padding:.4rem 1rem;font-size:1.2rem;font-weight:700}\n"
    "body{font:16px/1.45 system-ui,sans-serif;max-width:72rem;margin:1rem auto;padding:0 .75rem}h1{font-size:1.5rem;margin:.2rem 0}h2{font-size:1.15rem;margin:1.6rem 0 .4rem}\n"
    ".tiles{display:flex;flex-wrap:wrap;gap:.75rem;margin:1rem 0}.tiles div{border:1px solid var(--line);border-radius:.5rem;padding:.5rem 1rem;min-width:7rem}\n"
    ".tiles b{display:block;font-size:1.7rem;line-height:1.2}.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}\n"
    "th,td{overflow-wrap:anywhere;text-align:left;padding:.2rem .8rem .2rem 0;border-bottom:1px solid var(--line);vertical-align:top}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\n"
    ".PASS{color:var(--good);font-weight:700}.FAIL,.ERROR,.UNSET{color:var(--bad);font-weight:700}.MARGINAL,.ABORTED,.INTERRUPTED,.DRY_RUN{color:var(--warn);font-weight:700}\n"
    "figure{margin:0}figcaption{font-size:.9rem;font-weight:600;overflow-wrap:anywhere}.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));gap:1rem}\n"
    ".small{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,15rem),1fr));gap:1rem}svg{width:100%;height:auto}svg text{font-size:14px;fill:currentColor}\n"
    ".grid{stroke:var(--line)}.limit{stroke:var(--bad);stroke-dasharray:6 4;stroke-width:1.5}.marginal{stroke:var(--warn);stroke-dasharray:2 4}\n"
    ".good{fill:none;stroke:var(--good);stroke-width:1.2;opacity:.7}.bad{fill:none;stroke:var(--bad);stroke-width:2}.bar{fill:#2277cc}.barbad{fill:var(--bad)}\n"
    "small{opacity:.8}code{font-size:.85em;overflow-wrap:anywhere}figure,tr,.tiles{break-inside:avoid}h2,figcaption,thead{break-after:avoid}\n"
    "@media(max-width:600px){#runs thead{display:none}#runs tr{display:block;border-bottom:1px solid var(--line);padding:.4rem 0}#runs td{display:inline-block;border:0}#runs td.why{display:block}\n"
    ".extra{display:none}th,td{padding-right:.5rem;font-size:.85rem}}\n"
    "@media print{:root{color-scheme:light;--good:#1a7f37;--bad:#cf222e;--warn:#7d5700}@page{size:A4;margin:14mm}body{margin:0;font-size:9.5pt;max-width:none}.wide{overflow:visible}"
    "thead{display:table-header-group}.plots{grid-template-columns:1fr 1fr}.small{grid-template-columns:repeat(3,1fr)}th,td{padding-right:.35rem}}\n";

/* ---- a curve per pen: the error against the set-point, within its limits ---- */

struct band { /* limits of the measurements at the curve's points */
    double low, high, marginal_low, marginal_high;
    bool marginal;
};

static const json_t *step_of(const json_t *run, const char *name)
{
    const json_t *step;
    size_t i;

    json_array_foreach(json_object_get(run, "steps"), i, step) {
        if (strcmp(text_of(step, "name"), name) == 0)
            return step;
    }
    return NULL;
}

static const json_t *last_attempt(const json_t *step)
{
    const json_t *attempts = json_object_get(step, "attempts");

    return json_array_get(attempts, json_array_size(attempts) - 1);
}

/* Finds the limits of the first measurement whose name begins with prefix. */
static bool find_band(const json_t *runs, const char *step, const char *prefix, struct band *b)
{
    const json_t *run, *m;
    size_t i, k;

    json_array_foreach(runs, i, run) {
        json_array_foreach(json_object_get(last_attempt(step_of(run, step)), "measurements"), k, m) {
            if (strncmp(text_of(m, "name"), prefix, strlen(prefix)) != 0 || json_object_get(m, "min") == NULL || json_object_get(m, "max") == NULL)
                continue;
            *b = (struct band){number_of(m, "min"), number_of(m, "max"), number_of(m, "marginal_min"), number_of(m, "marginal_max"),
                               json_object_get(m, "marginal_min") != NULL && json_object_get(m, "marginal_max") != NULL};
            return true;
        }
    }
    return false;
}

static double error_of(const json_t *point, bool relative)
{
    double x = json_number_value(json_array_get(point, 0)), y = json_number_value(json_array_get(point, 1));

    return relative && x != 0 ? (y / x - 1) * 100 : y - x;
}

static double scale_x(double x, double most)
{
    return LEFT + x / most * (WIDTH - LEFT - RIGHT);
}

static double scale_y(double y, double most)
{
    return TOP + (1 - (y + most) / (2 * most)) * (HEIGHT - TOP - BOTTOM);
}

static void put_level(FILE *out, const char *class, double y, double most)
{
    escape_markup(out, "<line class=\"%s\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", class, LEFT, WIDTH - RIGHT, scale_y(y, most), scale_y(y, most));
    escape_markup(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s%.4g</text>\n", LEFT - 8, scale_y(y, most) + 5, y > 0 ? "+" : "", y);
}

static void put_curves(FILE *out, const json_t *runs, const char *step, const char *prefix, const char *curve, const char *title, const char *x_unit, bool relative)
{
    double most_x = 0, most_y;
    const json_t *run, *point, *points;
    struct band b;
    size_t i, k;

    if (!find_band(runs, step, prefix, &b))
        return;
    most_y = fmax(fabs(b.low), fabs(b.high)) * 1.25;
    json_array_foreach(runs, i, run) {
        json_array_foreach(json_object_get(json_object_get(last_attempt(step_of(run, step)), "curves"), curve), k, point) {
            most_x = fmax(most_x, json_number_value(json_array_get(point, 0)));
            most_y = fmax(most_y, fabs(error_of(point, relative)) * 1.05);
        }
    }
    if (most_x <= 0)
        return;
    escape_markup(out, "<figure><figcaption>%s</figcaption>\n<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\" data-curve=\"%s\">\n", title, WIDTH, HEIGHT, title, curve);
    put_level(out, "grid", 0, most_y);
    put_level(out, "limit", b.low, most_y);
    put_level(out, "limit", b.high, most_y);
    for (i = 0; i < 2 && b.marginal; i++)
        escape_markup(out, "<line class=\"marginal\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>\n", LEFT, WIDTH - RIGHT,
                scale_y(i == 0 ? b.marginal_low : b.marginal_high, most_y), scale_y(i == 0 ? b.marginal_low : b.marginal_high, most_y));
    for (i = 0; i <= 5; i++)
        escape_markup(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"%s\">%.4g</text>\n", scale_x(most_x * (double)i / 5, most_x), HEIGHT - 20, i == 5 ? "end" : "middle",
                most_x * (double)i / 5);
    escape_markup(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">set-point, %s</text>\n", WIDTH - RIGHT, HEIGHT - 4, x_unit);
    json_array_foreach(runs, i, run) {
        const char *verdict = text_of(step_of(run, step), "verdict");
        bool good = strcmp(verdict, "PASS") == 0 || strcmp(verdict, "MARGINAL") == 0;

        points = json_object_get(json_object_get(last_attempt(step_of(run, step)), "curves"), curve);
        if (json_array_size(points) == 0)
            continue;
        escape_markup(out, "<path class=\"%s\" d=\"", good ? "good" : "bad");
        json_array_foreach(points, k, point)
            escape_markup(out, "%c%.1f %.1f", k == 0 ? 'M' : 'L', scale_x(json_number_value(json_array_get(point, 0)), most_x), scale_y(error_of(point, relative), most_y));
        fputs("\"><title>", out);
        escape_markup(out, "%s", text_of(run, "serial"));
        fputs("</title></path>\n", out);
    }
    fputs("</svg></figure>\n", out);
}

/* ---- how a measurement spreads over the pens ---- */

static size_t collect(const json_t *runs, const char *step, const char *name, double *values, size_t cap)
{
    const json_t *run, *m;
    size_t n = 0, i, k;

    json_array_foreach(runs, i, run) {
        json_array_foreach(json_object_get(last_attempt(step_of(run, step)), "measurements"), k, m) {
            if (n < cap && strcmp(text_of(m, "name"), name) == 0 && json_is_number(json_object_get(m, "value")))
                values[n++] = number_of(m, "value");
        }
    }
    return n;
}

static void put_histogram(FILE *out, const json_t *runs, const json_t *c, double *values, size_t cap)
{
    size_t n = collect(runs, text_of(c, "step"), text_of(c, "name"), values, cap), bins[BINS] = {0}, outside[BINS] = {0}, most = 1;
    bool has_min = json_object_get(c, "min") != NULL, has_max = json_object_get(c, "max") != NULL;
    double min = number_of(c, "min"), max = number_of(c, "max"), low = INFINITY, high = -INFINITY, span;

    for (size_t i = 0; i < n; i++) {
        low = fmin(low, values[i]);
        high = fmax(high, values[i]);
    }
    low = has_min ? fmin(low, min) : fmin(low, 0);
    high = has_max ? fmax(high, max) : high;
    span = high > low ? high - low : 1;
    low -= span * 0.06;
    span *= 1.12;
    for (size_t i = 0; i < n; i++) {
        size_t bin = (size_t)fmin(BINS - 1, fmax(0, (values[i] - low) / span * BINS));

        most = ++bins[bin] > most ? bins[bin] : most;
        outside[bin] += (has_min && values[i] < min) || (has_max && values[i] > max); /* a value equal to its limit passes */
    }
    escape_markup(out, "<figure><figcaption>%s: %s%s%s</figcaption><svg viewBox=\"0 0 %d %d\" role=\"img\" data-histogram=\"%s.%s\">", text_of(c, "step"), text_of(c, "name"),
            text_of(c, "unit")[0] != '\0' ? ", " : "", text_of(c, "unit"), SMALL_WIDTH, SMALL_HEIGHT, text_of(c, "step"), text_of(c, "name"));
    for (int i = 0; i < BINS; i++) {
        double height = (double)bins[i] / (double)most * (SMALL_HEIGHT - 26);

        if (bins[i] > 0)
            escape_markup(out, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>", outside[i] > 0 ? "barbad" : "bar",
                    (double)i * SMALL_WIDTH / BINS, SMALL_HEIGHT - 20 - height, (double)SMALL_WIDTH / BINS - 1, height);
    }
    for (int i = 0; i < 2; i++) {
        double x = ((i == 0 ? min : max) - low) / span * SMALL_WIDTH;

        if (i == 0 ? has_min : has_max)
            escape_markup(out, "<line class=\"limit\" x1=\"%.1f\" x2=\"%.1f\" y1=\"0\" y2=\"%d\"/><text x=\"%.1f\" y=\"%d\" text-anchor=\"%s\">%.4g</text>", x, x, SMALL_HEIGHT - 18,
                    x, SMALL_HEIGHT - 3, i == 0 ? "start" : "end", i == 0 ? min : max);
    }
    fputs("</svg></figure>\n", out);
}

/* ---- tables ---- */

static void put_runs(FILE *out, const json_t *runs)
{
    const json_t *run;
    char reason[600];
    size_t i;

    fputs("<h2>Pens</h2>\n<div class=\"wide\"><table id=\"runs\"><thead><tr><th>slot</th><th>serial</th><th>verdict</th><th class=\"n\">s</th><th>why</th></tr></thead>\n", out);
    json_array_foreach(runs, i, run) {
        const char *serial = text_of(run, "serial")[0] != '\0' ? text_of(run, "serial") : text_of(run, "label");

        fputs("<tr><td>", out);
        escape_markup(out, "%s", text_of(run, "slot"));
        fputs("</td><td>", out);
        escape_markup(out, "%s", serial);
        escape_markup(out, "</td><td class=\"%s\">%s</td><td class=\"n\">%.1f</td><td class=\"why\">", text_of(run, "verdict"), text_of(run, "verdict"), number_of(run, "seconds"));
        verdict_reason(run, reason, sizeof(reason));
        escape_markup(out, "%s", reason);
        fputs("</td></tr>\n", out);
    }
    fputs("</table></div>\n", out);
}

static void put_failures(FILE *out, const json_t *summary)
{
    const json_t *f;
    double most = fmax(1, number_of(json_object_get(summary, "plan"), "runs")); /* relative to all runs: one failure in a hundred must not fill the bar */
    size_t i;

    if (json_array_size(json_object_get(summary, "failures")) == 0)
        return;
    fputs("<h2>Failures by step, of all runs</h2>\n<table id=\"failures\">\n", out);
    json_array_foreach(json_object_get(summary, "failures"), i, f)
        escape_markup(out, "<tr><td>%s</td><td class=\"n\">%.0f</td><td style=\"width:70%%\"><svg viewBox=\"0 0 400 12\"><rect class=\"barbad\" width=\"%.0f\" height=\"12\"/></svg></td></tr>\n",
                text_of(f, "step"), number_of(f, "count"), number_of(f, "count") / most * 400);
    fputs("</table>\n", out);
}

static void put_bound(FILE *out, const json_t *c, const char *key)
{
    if (json_object_get(c, key) != NULL)
        escape_markup(out, "<td class=\"n\">%.5g</td>", number_of(c, key));
    else
        fputs("<td></td>", out);
}

static void put_capability(FILE *out, const json_t *summary)
{
    const json_t *c;
    size_t i;

    escape_markup(out, "<h2>Capability</h2>\n<p><small>Cpk of what varies and has a unit, from %d values on.</small></p>\n<div", STATS_CPK_MIN);
    fputs(" class=\"wide\"><table id=\"capability\"><thead><tr><th>step</th><th>measurement</th><th class=\"extra\">unit</th><th class=\"n\">least</th><th class=\"n\">most</th>"
          "<th class=\"n\">n</th><th class=\"n\">mean</th><th class=\"n extra\">deviation</th><th class=\"n\">Cpk</th></tr></thead>\n", out);
    json_array_foreach(json_object_get(summary, "capability"), i, c) {
        const json_t *cpk = json_object_get(c, "cpk");

        escape_markup(out, "<tr><td>%s</td><td>%s</td><td class=\"extra\">%s</td>", text_of(c, "step"), text_of(c, "name"), text_of(c, "unit"));
        put_bound(out, c, "min");
        put_bound(out, c, "max");
        escape_markup(out, "<td class=\"n\">%.0f</td><td class=\"n\">%.5g</td><td class=\"n extra\">%.4g</td>", number_of(c, "count"), number_of(c, "mean"), number_of(c, "deviation"));
        if (json_is_number(cpk))
            escape_markup(out, "<td class=\"n %s\">%.2f</td></tr>\n", json_number_value(cpk) < 1 ? "FAIL" : json_number_value(cpk) < 1.33 ? "MARGINAL" : "", json_number_value(cpk));
        else
            fputs("<td></td></tr>\n", out);
    }
    fputs("</table></div>\n", out);
}

/* Writes the content of a CSS string, without characters that could end the string or the element. */
static void put_css_text(FILE *out, const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c >= ' ' && strchr("\"\\<>&", *c) == NULL)
            fputc(*c, out);
    }
}

/* The period from the first beginning to the last end. An interrupted run has no end; its beginning counts. */
static void find_period(const json_t *runs, const char **began, const char **ended)
{
    const json_t *run;
    size_t i;

    *began = *ended = "";
    json_array_foreach(runs, i, run) {
        const char *from = text_of(run, "began"), *to = text_of(run, "ended")[0] != '\0' ? text_of(run, "ended") : from;

        if ((*began)[0] == '\0' || strcmp(from, *began) < 0)
            *began = from;
        if (strcmp(to, *ended) > 0)
            *ended = to;
    }
}

/* If there are runs of several plans, says which of them the figures are of. */
static void put_plans(FILE *out, const json_t *summary)
{
    const json_t *p, *plans = json_object_get(summary, "plans");
    size_t i;

    if (json_array_size(plans) < 2)
        return;
    fputs("<h2>Plans</h2>\n<table><thead><tr><th>plan</th><th>sha256 of plan, limits</th><th class=\"n\">runs</th><th class=\"n\">pens</th><th class=\"n\">passed</th></tr></thead>\n", out);
    json_array_foreach(plans, i, p) {
        escape_markup(out, "<tr><td>");
        escape_markup(out, "%s", text_of(p, "name"));
        escape_markup(out, "%s</td><td><code>%.12s, %.12s</code></td><td class=\"n\">%.0f</td><td class=\"n\">%.0f</td><td class=\"n\">%.0f</td></tr>\n",
                p == json_object_get(summary, "plan") ? " (the figures above)" : "", text_of(p, "sha256"), text_of(p, "limits_sha256"), number_of(p, "runs"), number_of(p, "pens"),
                number_of(p, "passed"));
    }
    fputs("</table>\n", out);
}

void report_html(FILE *out, const json_t *runs, const json_t *summary)
{
    const json_t *first = json_array_get(runs, 0), *plan = json_object_get(first, "plan"), *limits = json_object_get(first, "limits"), *c;
    const char *began, *ended;
    size_t n = json_array_size(runs), i;
    double *values = calloc(n + 1, sizeof(*values));

    escape_markup(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
    escape_markup(out, "%s", text_of(plan, "name"));
    find_period(runs, &began, &ended);
    fputs("</title>\n<style>\n", out);
    fputs(style, out);
    fputs("@page{@bottom-left{content:\"", out);
    put_css_text(out, text_of(plan, "name"));
    escape_markup(out, ", %.16sZ\";font-size:8pt}@bottom-right{content:\"page \" counter(page) \" of \" counter(pages);font-size:8pt}}\n</style></head><body>\n<h1>", ended);
    escape_markup(out, "%s", text_of(plan, "name"));
    escape_markup(out, "</h1>\n<p>Station ");
    escape_markup(out, "%s", text_of(first, "station"));
    escape_markup(out, ", from %.10s %.8s to %.10s %.8s UTC</p>\n", began, strlen(began) > 11 ? began + 11 : "", ended, strlen(ended) > 11 ? ended + 11 : "");
    if (number_of(json_object_get(summary, "by_verdict"), "DRY_RUN") > 0)
        fputs("<p class=\"banner\">DRY RUN: nothing was written for good, and no pen has passed</p>\n", out);
    escape_markup(out, "<div class=\"tiles\"><div><b>%.0f</b>pens</div><div><b>%.0f</b>passed</div><div><b>%.0f</b>did not pass</div><div><b>%.1f %%</b>yield</div><div><b>%.1f %%</b>first-pass yield</div>"
                 "<div><b>%.0f</b>runs</div></div>\n",
            number_of(summary, "pens"), number_of(summary, "passed"), number_of(summary, "pens") - number_of(summary, "passed"), number_of(summary, "yield") * 100,
            number_of(summary, "first_pass_yield") * 100, number_of(summary, "runs"));
    put_plans(out, summary);
    fputs("<div class=\"plots\">\n", out);
    put_curves(out, runs, "depth", "depth_error_", "depth_um", "Error of depth by depth, um", "um", false);
    put_curves(out, runs, "rate", "rate_error_", "rate_hz", "Error of stroke rate by rate, %", "Hz", true);
    fputs("</div>\n", out);
    put_runs(out, runs);
    put_failures(out, summary);
    fputs("<h2>Distribution</h2>\n<div class=\"small\">\n", out);
    json_array_foreach(json_object_get(summary, "capability"), i, c) {
        if (values != NULL)
            put_histogram(out, runs, c, values, n);
    }
    fputs("</div>\n", out);
    put_capability(out, summary);
    escape_markup(out, "<p><small>Plan <code>%s</code><br>Limits <code>%s</code> of ", text_of(plan, "sha256"), text_of(limits, "sha256"));
    escape_markup(out, "%s", text_of(limits, "name"));
    fputs("<br>Red dashes are limits, dotted lines the narrower ones; a red curve is a pen that failed the step.</small></p>\n</body></html>\n", out);
    free(values);
}
