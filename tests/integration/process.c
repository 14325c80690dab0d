#include "process.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The number behind "key:" in /proc/PID/status; -1. */
static long status_number(pid_t pid, const char *key)
{
    char path[64], line[256];
    size_t n = strlen(key);
    long number = -1;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, key, n) == 0 && line[n] == ':')
            number = strtol(line + n + 1, NULL, 10);
    }
    if (f != NULL)
        fclose(f);
    return number;
}

long process_kib(pid_t pid, const char *key)
{
    return status_number(pid, key);
}

long process_descriptors(pid_t pid)
{
    char path[64];
    long n = 0;
    DIR *d;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    d = opendir(path);
    if (d == NULL)
        return -1;
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static uint64_t thread_cpu_ns(pid_t pid, const char *thread)
{
    char path[320];
    unsigned long long ns = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/task/%.20s/schedstat", (int)pid, thread);
    f = fopen(path, "re");
    if (f != NULL) {
        if (fscanf(f, "%llu", &ns) != 1)
            ns = 0;
        fclose(f);
    }
    return ns;
}

uint64_t process_cpu_ns(pid_t pid)
{
    char path[64];
    uint64_t ns = 0;
    DIR *d;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    d = opendir(path);
    for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
        ns += e->d_name[0] != '.' ? thread_cpu_ns(pid, e->d_name) : 0;
    if (d != NULL)
        closedir(d);
    return ns;
}

uint64_t process_wakeups(pid_t pid)
{
    return (uint64_t)status_number(pid, "voluntary_ctxt_switches");
}
