#include "inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "groups.h"
#include "log.h"

enum { OVERFLOW_ID = 65534 };

static unsigned number_in(const char *path, unsigned otherwise)
{
    FILE *f = fopen(path, "re");
    unsigned n;

    if (f == NULL)
        return otherwise;
    if (fscanf(f, "%u", &n) != 1)
        n = otherwise;
    fclose(f);
    return n;
}

void role_map_load(struct role_map *m, const char *const groups[ROLES])
{
    int r = groups_look_up(groups, m->gids, ROLES);

    if (r < 0)
        log_warning("no group can be looked up: %s; only root and the daemon's own user have a role, and reach the socket", strerror(-r));
    m->nobody = (uid_t)number_in("/proc/sys/kernel/overflowuid", OVERFLOW_ID);
    m->nogroup = (gid_t)number_in("/proc/sys/kernel/overflowgid", OVERFLOW_ID);
    for (int i = ROLE_OBSERVER; i <= ROLE_FACTORY; i++) {
        snprintf(m->groups[i], sizeof(m->groups[i]), "%s", groups[i]);
        if (r == 0 && i > ROLE_OBSERVER && groups[i][0] != '\0' && m->gids[i] == GROUP_UNKNOWN)
            log_debug("there is no group %s: nobody is %s but root and the daemon's own user", groups[i], role_name((enum role)i));
    }
}

static enum role role_of_gid(const struct role_map *m, gid_t gid)
{
    for (int r = ROLE_FACTORY; r > ROLE_OBSERVER; r--) {
        if (m->gids[r] == gid && gid != GROUP_UNKNOWN && gid != m->nogroup)
            return (enum role)r;
    }
    return ROLE_OBSERVER;
}

enum role role_of_peer(const struct role_map *m, int fd, uid_t uid, gid_t gid)
{
    enum role best = role_of_gid(m, gid), other;
    socklen_t size = 0;
    gid_t *gids = NULL;

    if (uid == 0 || (uid == geteuid() && uid != m->nobody))
        return ROLE_FACTORY;
    getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size); /* sets the size that is needed */
    if (size > 0)
        gids = malloc(size);
    if (gids != NULL && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, gids, &size) == 0) {
        for (size_t i = 0; i < size / sizeof(*gids); i++) {
            other = role_of_gid(m, gids[i]);
            best = other > best ? other : best;
        }
    }
    free(gids);
    return best;
}

const char *role_name(enum role r)
{
    static const char *const names[] = {"observer", "operator", "service", "factory"};

    return names[r];
}
