#include <errno.h>
#include <sys/socket.h>

int __real_connect(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size);

/* Nobody listens yet when the first two are connected, and somebody does at once thereafter. */
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size)
{
    static unsigned calls;

    if (calls++ < 2) {
        errno = ECONNREFUSED;
        return -1;
    }
    return __real_connect(fd, address, size);
}
