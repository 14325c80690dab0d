#include "user.h"

#include <stdlib.h>

struct user *user_enter(struct user **users, uid_t uid)
{
    struct user *u = *users;

    while (u != NULL && u->uid != uid)
        u = u->next;
    if (u == NULL) {
        u = calloc(1, sizeof(*u));
        if (u == NULL)
            return NULL;
        u->uid = uid;
        u->next = *users;
        *users = u;
    }
    u->clients++;
    return u;
}

void user_leave(struct user **users, struct user *u)
{
    if (--u->clients != 0)
        return;
    while (*users != u)
        users = &(*users)->next;
    *users = u->next;
    free(u);
}
