#include "inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "task.h"

/* Work on the whole file (verify, copy) runs in a thread of its own, one at a time. */
struct archive {
    sd_event *event;
    struct hub *hub;
    struct task *task;
    struct client *task_client;
    uint32_t task_id;
    bool task_is_backup;
    int task_result;
    uint64_t rows, free_bytes;
    char text[400], path[4200], copy[4240];
    /* a copy that is being fetched */
    int copy_fd;
    const struct client *copy_client;
};

enum { PIECE_BYTES = 12 * 1024 };

static void end_copy(struct archive *a)
{
    if (a->copy_fd >= 0)
        close(a->copy_fd);
    a->copy_fd = -1;
    a->copy_client = NULL;
}

static void reply_piece(struct archive *a, struct client *c, uint32_t id, uint64_t offset)
{
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__JournalBackupReply reply = MNC__JOURNAL_BACKUP_REPLY__INIT;
    uint8_t bytes[PIECE_BYTES];
    struct stat st;
    ssize_t n;

    if (offset > INT64_MAX) {
        client_reject(c, id, MNC__ERROR_CODE__ERROR_MALFORMED, "no file is that long");
        return;
    }
    if (fstat(a->copy_fd, &st) < 0 || (n = pread(a->copy_fd, bytes, sizeof(bytes), (off_t)offset)) < 0) {
        client_reject(c, id, MNC__ERROR_CODE__ERROR_JOURNAL, "the copy of the journal cannot be read: %s", strerror(errno));
        end_copy(a);
        return;
    }
    reply.has_total = reply.has_piece = true;
    reply.total = (uint64_t)st.st_size;
    reply.piece = (ProtobufCBinaryData){.len = (size_t)n, .data = bytes};
    m.body_case = MNC__SERVER_MESSAGE__BODY_JOURNAL_BACKUP;
    m.journal_backup = &reply;
    client_reply(c, &m, id);
    if (offset + (uint64_t)n >= (uint64_t)st.st_size)
        end_copy(a);
}

static void run_task(void *ctx)
{
    struct archive *a = ctx;

    if (a->task_is_backup)
        a->task_result = journal_backup(a->path, a->copy, a->free_bytes, a->text, sizeof(a->text));
    else
        a->task_result = journal_verify(a->path, &a->rows, a->text, sizeof(a->text));
}

static void reply_verified(struct archive *a)
{
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__JournalVerifyReply reply = MNC__JOURNAL_VERIFY_REPLY__INIT;

    reply.has_good = reply.has_rows = true;
    reply.good = a->task_result == 0;
    reply.rows = a->rows;
    reply.text = a->text;
    m.body_case = MNC__SERVER_MESSAGE__BODY_JOURNAL_VERIFY;
    m.journal_verify = &reply;
    client_reply(a->task_client, &m, a->task_id);
}

static void open_copy(struct archive *a)
{
    if (a->task_result == 0 && a->task_client != NULL) {
        a->copy_fd = open(a->copy, O_RDONLY | O_CLOEXEC);
        a->copy_client = a->task_client;
    }
    unlink(a->copy); /* the open descriptor keeps it */
    if (a->task_client == NULL)
        return;
    if (a->copy_fd >= 0)
        reply_piece(a, a->task_client, a->task_id, 0);
    else
        client_reject(a->task_client, a->task_id, MNC__ERROR_CODE__ERROR_JOURNAL, "%s", a->text);
}

static void done_task(void *ctx)
{
    struct archive *a = ctx;

    task_free(a->task);
    a->task = NULL;
    if (a->task_is_backup)
        open_copy(a);
    else if (a->task_client != NULL)
        reply_verified(a);
    a->task_client = NULL;
}

static void begin_task(struct archive *a, struct client *c, uint32_t id, bool is_backup)
{
    int r;

    if (hub_journal(a->hub) == NULL) {
        client_reject(c, id, MNC__ERROR_CODE__ERROR_JOURNAL, "%s", hub_journal_error(a->hub));
        return;
    }
    if (a->task != NULL || (is_backup && a->copy_fd >= 0 && a->copy_client != c)) {
        client_reject(c, id, MNC__ERROR_CODE__ERROR_BUSY, "another program has the journal checked or copied just now");
        return;
    }
    end_copy(a);
    snprintf(a->path, sizeof(a->path), "%s", journal_path(hub_journal(a->hub)));
    snprintf(a->copy, sizeof(a->copy), "%s.copy-%d", a->path, (int)getpid());
    a->free_bytes = journal_limits(hub_journal(a->hub))->free_bytes;
    a->task_client = c;
    a->task_id = id;
    a->task_is_backup = is_backup;
    if (is_backup)
        unlink(a->copy);
    r = task_start(&a->task, a->event, run_task, done_task, a);
    if (r < 0) {
        a->task_client = NULL;
        client_reject(c, id, MNC__ERROR_CODE__ERROR_BUSY, "the journal cannot be looked at: %s", strerror(-r));
    }
}

void request_journal_verify(struct server *s, struct client *c, const Mnc__ClientMessage *m)
{
    begin_task(s->archive, c, m->id, false);
}

void request_journal_backup(struct server *s, struct client *c, const Mnc__ClientMessage *m)
{
    uint64_t offset = m->journal_backup->offset;

    if (offset == 0)
        begin_task(s->archive, c, m->id, true);
    else if (s->archive->copy_client == c)
        reply_piece(s->archive, c, m->id, offset);
    else
        client_reject(c, m->id, MNC__ERROR_CODE__ERROR_MALFORMED, "a copy of the journal begins at offset 0");
}

/* ---- life ---- */

int archive_new(struct archive **out, sd_event *event, struct hub *hub)
{
    struct archive *a = calloc(1, sizeof(*a));

    if (a == NULL)
        return -ENOMEM;
    a->event = event;
    a->hub = hub;
    a->copy_fd = -1;
    *out = a;
    return 0;
}

void archive_client_gone(struct archive *a, const struct client *c)
{
    if (a->task_client == c)
        a->task_client = NULL;
    if (a->copy_client == c)
        end_copy(a);
}

void archive_free(struct archive *a)
{
    if (a == NULL)
        return;
    if (a->task != NULL && a->task_is_backup)
        unlink(a->copy);
    task_free(a->task);
    end_copy(a);
    free(a);
}
