/*
 * From the pen's and the daemon's messages to the public structs. No I/O. Every function copies what it keeps.
 */
#pragma once

#include "client.pb-c.h"
#include "mn/mn.h"
#include "pen.pb-c.h"

/* A text of a pen or another client, which may be shown on a terminal or be in JSON: valid UTF-8 without control characters, cut to fit. in may be NULL. */
void decode_text(char *out, size_t cap, const char *in);

void decode_pen(struct mn_pen *out, const Mnc__PenInfo *in);

bool decode_pens(struct mn_pens *out, const Mnc__PenList *in);

/* False if the bytes do not decode, or a required field is absent. */
bool decode_record(struct mn_record *out, uint64_t journal, const Mnc__JournalRecord *in);
bool decode_records(struct mn_records *out, const Mnc__RecordsReply *in);
bool decode_status(struct mn_status *out, const ProtobufCBinaryData *bytes);
bool decode_info(struct mn_info *out, const ProtobufCBinaryData *bytes);
bool decode_config(struct mn_config *out, const ProtobufCBinaryData *bytes);
bool decode_cleared(struct mn_cleared *out, const ProtobufCBinaryData *bytes);

bool decode_factory(struct mn_factory *out, const ProtobufCBinaryData *bytes);

/* Decodes the pen's Error, with a message in text. */
void decode_pen_error(struct mn_result *r, char *text, size_t cap, const char *serial, const ProtobufCBinaryData *bytes);

/* Arrays in *out belong to *batch: free it with mnp__telemetry_batch__free_unpacked(). NULL if it does not decode. missed is left
 * 0. */
Mnp__TelemetryBatch *decode_telemetry(struct mn_telemetry *out, const char *serial, const ProtobufCBinaryData *bytes);

/* False if a required field is absent. */
bool decode_session(struct mn_session *out, const Mnc__Session *in);
void decode_policy(struct mn_policy *out, const Mnc__PolicyReply *in);
/* Decodes as many as there is room for. */
void decode_findings(struct mn_finding *out, size_t *count, size_t cap, size_t n, Mnc__Finding *const *in);

void encode_config(Mnp__Config *out, const struct mn_config *in);
