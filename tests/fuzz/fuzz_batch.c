/* Telemetry from a pen that lies: what the daemon's check lets pass must decode in the SDK. Records, status and looking on, too. */
#include <stdlib.h>

#include "stream.h"
#include "telemetry.h"
#include "decode.h"
#include "frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ProtobufCBinaryData bytes = {.len = size, .data = (uint8_t *)(uintptr_t)data};
    uint8_t fewer[BATCH_DECIMATED_MAX];
    struct batch_facts facts;
    struct mn_telemetry t;
    Mnc__JournalRecord one = MNC__JOURNAL_RECORD__INIT;
    Mnc__RecordsReply *page;
    Mnc__Session *session;
    static struct mn_session shown;
    struct mn_record record;
    struct mn_records records;
    struct mn_status status;
    struct mn_info info;
    struct mn_config config;
    struct mn_pen_status s;
    struct mn_result r = {0};
    char text[256];

    if (size > 0 && size <= MN_FRAME_PAYLOAD_MAX && batch_check(data, size, &facts)) {
        Mnp__TelemetryBatch *b = decode_telemetry(&t, "FUZZ", &bytes);

        if (b == NULL)
            __builtin_trap();
        mnp__telemetry_batch__free_unpacked(b, NULL);
        bytes.len = batch_decimate(data, size, 1 + data[size / 2] % 200 * 5, fewer, sizeof(fewer));
        bytes.data = fewer;
        if (bytes.len > 0) {
            b = batch_check(fewer, bytes.len, &facts) ? decode_telemetry(&t, "FUZZ", &bytes) : NULL;
            if (b == NULL)
                __builtin_trap();
            mnp__telemetry_batch__free_unpacked(b, NULL);
        }
        bytes = (ProtobufCBinaryData){.len = size, .data = (uint8_t *)(uintptr_t)data};
    }
    one.has_position = one.has_kind = one.has_record = true;
    one.record = bytes;
    decode_record(&record, 1, &one);
    page = mnc__records_reply__unpack(NULL, size, data);
    if (page != NULL && decode_records(&records, page))
        mn_records_free(&records);
    mnc__records_reply__free_unpacked(page, NULL);
    session = mnc__session__unpack(NULL, size, data);
    if (session != NULL)
        decode_session(&shown, session);
    mnc__session__free_unpacked(session, NULL);
    decode_status(&status, &bytes);
    decode_info(&info, &bytes);
    decode_config(&config, &bytes);
    decode_pen_error(&r, text, sizeof(text), "FUZZ", &bytes);
    mn_pen_status_read(data, size, &s);
    for (enum mn_traffic_kind kind = MN_TRAFFIC_UNKNOWN; kind <= MN_TRAFFIC_TO_PROGRAM; kind++)
        free(mn_traffic_json(&(struct mn_traffic){.kind = kind, .name = "FUZZ", .bytes = data, .count = size}));
    return 0;
}
