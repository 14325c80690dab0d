/*
 * What programs ask about treatment sessions of now and before, and what was seen after them; and about the policy in force.
 */
#pragma once

#include "client.h"
#include "site.h"

struct inquiries;

int inquiries_new(struct inquiries **out, struct client_env *env, const struct site *site);
void inquiries_free(struct inquiries *all);

/* The program has gone: it is not answered any more. */
void inquiries_forget(struct inquiries *all, const struct client *c);

void inquiry_list(struct inquiries *all, struct client *c, uint32_t id, const Mnc__SessionList *m);
void inquiry_adverse(struct inquiries *all, struct client *c, uint32_t id, const Mnc__AdverseEvent *m);
void inquiry_policy(struct inquiries *all, struct client *c, uint32_t id, const Mnc__PolicyGet *m);
