/* What another process costs, from /proc: memory, descriptors, processor time, wake-ups. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* KiB of a line of /proc/PID/status: "VmRSS", "RssAnon"; -1. */
long process_kib(pid_t pid, const char *key);
/* Open descriptors; -1. */
long process_descriptors(pid_t pid);
/* On processors so far, by all threads that it has now, ns. */
uint64_t process_cpu_ns(pid_t pid);
/* How often its main thread has gone to sleep of itself, thus how often it was woken. */
uint64_t process_wakeups(pid_t pid);
