/* Sets the depth of a pen: set_depth SERIAL UM. Safely: what is changed is what was read, or it is read again. */
#include <mn/mn.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { TIMEOUT_MS = 2000, TRIES = 3 };

static int set_depth(mn_client *c, const char *serial, uint32_t depth_um)
{
    struct mn_config now, change = {.present = MN_SET_DEPTH_UM, .depth_um = depth_um};
    int r = MN_ERR_CONFLICT;

    for (int i = 0; i < TRIES && r == MN_ERR_CONFLICT; i++) {
        r = mn_config_get(c, serial, &now, TIMEOUT_MS);
        if (r == MN_OK)
            r = mn_config_set(c, serial, &change, &now.generation, &now, TIMEOUT_MS);
    }
    if (r == MN_OK)
        printf("%s: depth %" PRIu32 " um, generation %" PRIu32 "\n", serial, now.depth_um, now.generation);
    return r;
}

int main(int argc, char **argv)
{
    char message[256];
    mn_client *c;
    int r;

    if (argc != 3) {
        fprintf(stderr, "usage: set_depth SERIAL UM\n");
        return 2;
    }
    r = mn_connect(&c, NULL, message, sizeof(message));
    if (r == MN_OK)
        r = set_depth(c, argv[1], (uint32_t)strtoul(argv[2], NULL, 10));
    if (r != MN_OK)
        fprintf(stderr, "%s\n", c != NULL ? mn_message(c) : message);
    mn_close(c);
    return r != MN_OK;
}
