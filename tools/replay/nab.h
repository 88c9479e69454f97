/* nab.h - anomaly scores by the firmware's detector over files 'timestamp,value'. */
#ifndef GN_REPLAY_NAB_H
#define GN_REPLAY_NAB_H

/* Scores every such CSV file below 'folder' and writes 'timestamp,score' under the same name
 * below 'out'. Returns the number of files, or a negative errno after a message. */
int gn_replay_nab(const char *folder, const char *out);

#endif
