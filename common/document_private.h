/* What document.c, which makes the document, and document_fields.c, which reads values from it, share. */
#pragma once

#include "document.h"

/* Zeroed memory that lives as long as the document; NULL. */
void *document_allocate(struct document *document, size_t size);
/* A mapping (NULL: the empty one) into a struct. 0, or a negative errno after a sentence. */
int document_take(struct document *document, const struct node *mapping, const struct field *fields, void *out, char *why, size_t cap);
