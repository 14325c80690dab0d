#include "link.h"

#include <stdio.h>

void link_address(const char *port, char out[LINK_ADDRESS_SIZE])
{
    snprintf(out, LINK_ADDRESS_SIZE, "@%.31s", port);
    for (char *c = out; *c != '\0'; c++)
        *c = *c == ' ' ? '-' : *c;
}
