/*
 * What is made of records: a page with plots for people, JUnit XML for build servers, CSV of every measurement for spreadsheets. All from records
 * alone, so that any of them can be made again, of any runs together.
 */
#pragma once

#include <jansson.h>
#include <stdio.h>

/* runs: an array of records; summary: stats_summary() of them. Whether it could be written the caller sees by ferror(). */
void report_html(FILE *out, const json_t *runs, const json_t *summary);
void report_junit(FILE *out, const json_t *runs);
void report_csv(FILE *out, const json_t *runs);
