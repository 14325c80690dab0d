/*
 * The simulated link: the transfers of the USB link over a Unix SOCK_SEQPACKET socket, one packet a transfer. The first
 * byte says where it belongs; PROTOCOL.md, section 3. The pen connects, the host listens.
 */
#pragma once

enum simlink_tag {
    SIMLINK_CONTROL = 0x00,       /* to the pen: request (1 byte); to the host: 0 done, 1 stalled */
    SIMLINK_BULK_OUT = 0x01,      /* to the pen */
    SIMLINK_BULK_IN = 0x81,       /* to the host */
    SIMLINK_INTERRUPT_IN = 0x82,  /* to the host */
    SIMLINK_PORT = 0xf0,          /* to the pen: a line of the simulation; to the host: its answer */
    SIMLINK_ATTACH = 0xf1,        /* to the host: 1 and the serial number plugged in, 0 pulled out */
    SIMLINK_STALL = 0xf2,         /* to the host: the endpoint (BULK_OUT, BULK_IN, INTERRUPT_IN) is halted */
    SIMLINK_CLEAR_HALT = 0xf3,    /* to the pen: the endpoint */
};

#define SIMLINK_PACKET_MAX 4096
