/* redact.h - takes secrets out of text that leaves the operator's machine.
 *
 * Pure. What is replaced by '*', the text's length staying as it is:
 * - what lies between the marks of a PEM private key (certificates are public and stay);
 * - the user and password of a URL: "nbd://user:word@host";
 * - the value after "password", "passwd", "secret", "token" or "api_key" and ':' or '=', unless it
 *   is a number: those are fencing tokens, and who reads the file needs them. */
#ifndef GN_CTL_REDACT_H
#define GN_CTL_REDACT_H

/* In place. Returns how many secrets were found. */
unsigned gn_redact(char *text);

#endif
