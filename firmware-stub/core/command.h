/*
 * The host's words: bytes and control requests in, frames checked, requests decoded, carried out and answered. A request
 * that cannot be carried out is answered with an Error and changes nothing.
 */
#pragma once

#include "pen.h"

/* Bytes of the bulk OUT endpoint, as they came: frames may be split or joined. */
void pen_receive(struct pen *p, const uint8_t *bytes, size_t n);

/* A vendor request on EP0. */
void pen_control(struct pen *p, enum mn_control request);
