/* A treatment's plan with its answers, as a person writes it. What is taken is written and read back the same. */
#include <stdlib.h>
#include <string.h>

#include "sessions.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct plan_words w, back;
    char why[800], *text = NULL;
    size_t n = 0;
    FILE *out;

    memset(&w, 0, sizeof(w));
    memset(&back, 0, sizeof(back));
    if (!plan_parse(&w, (const char *)data, size, "fuzz", why, sizeof(why))) {
        if (strncmp(why, "fuzz", 4) != 0)
            abort();
        return 0;
    }
    out = open_memstream(&text, &n);
    if (out == NULL)
        abort();
    plan_write(out, &w);
    fclose(out);
    if (!plan_parse(&back, text, n, "written", why, sizeof(why))) {
        fprintf(stderr, "%s\n%s\n", why, text);
        abort();
    }
    if (strcmp(w.subject, back.subject) != 0 || w.plan.products != back.plan.products || memcmp(w.confirmed, back.confirmed, sizeof(w.confirmed)) != 0 ||
        (w.plan.step_count > 0 && (w.plan.step_count != back.plan.step_count || memcmp(w.overrides, back.overrides, sizeof(w.overrides)) != 0)))
        abort();
    for (size_t i = 0; i < w.plan.step_count; i++) {
        if (w.plan.step[i].zone != back.plan.step[i].zone || w.plan.step[i].depth_um != back.plan.step[i].depth_um)
            abort();
    }
    free(text);
    return 0;
}
