/* command.c - see command.h. */
#include "tools/ctl/command.h"

#include <stdio.h>
#include <string.h>

#define POLICY_HELP                                                                                \
	"  --mode off|forecast-only|enforce   what may be changed\n"                               \
	"  --RESOURCE-quantile 0.5|0.9|0.95|0.99   which forecast counts\n"                        \
	"  --RESOURCE-horizon 30s             how far ahead\n"                                     \
	"  --RESOURCE-min VALUE, --RESOURCE-max VALUE, --RESOURCE-step VALUE\n"                    \
	"  --RESOURCE-max-change VALUE        most that one plan changes\n"                        \
	"  --RESOURCE-headroom 0.2            added to the demand\n"                               \
	"  --RESOURCE-dead-band 0.05          no change below this share\n"                        \
	"  --RESOURCE-cooldown 60s, --RESOURCE-shrink-after 10min\n"                               \
	"RESOURCE is cpu (values in vCPUs), memory, network-rx, network-tx, disk-read, "           \
	"disk-write\n"                                                                             \
	"or disk-operations.\n\n"                                                                  \
	"  gnomonctl policy set web-1 --mode enforce --cpu-max 4 --cpu-quantile 0.95\n"            \
	"  gnomonctl policy set web-1 --memory-min 512MiB --memory-horizon 5min\n"

#define SHADOW_HELP                                                                                \
	"  --start                run it now, passively (else: defined, ready to start)\n"         \
	"  --vcpus N --vcpus-step N --vcpus-ceiling N            scaling\n"                        \
	"  --memory SIZE --memory-step SIZE --memory-ceiling SIZE\n"                               \
	"  --replication off|async|in-step   how its disks follow (default: async)\n"              \
	"  --resync-rate SIZE     most bytes a second of a synchronisation; 0: no limit\n"         \
	"  --snapshots 1h:24      keep one an hour, the newest 24 (repeatable); never: none\n"     \
	"  --journal SIZE         of each disk, on the card (default: 64MiB)\n"                    \
	"  --when 'cpu 3.5 for 5min'  make it when demand stays above (repeatable)\n"              \
	"  --after 10min --every 1d   make it then; refresh it so often\n"                         \
	"  --rehearse-every 7d    rehearse it now and so often (never: only when asked)\n"         \
	"  --probe PROBE          what its guest is asked in a rehearsal, at its first NIC:\n"     \
	"                         arp://ADDRESS, tcp://ADDRESS:PORT, "                             \
	"http://ADDRESS[:PORT]/PATH,\n"                                                            \
	"                         or traffic: anything that it sends (default)\n"                  \
	"  --probe-from ADDRESS   who asks: an address that the guest has for a neighbour\n"       \
	"  --direction both|rx|tx --filter FILTER --truncate N --sample N\n"                       \
	"                         its mirror session, see 'mirror set --help'\n"

#define SHADOW_CREATE_HELP                                                                         \
	SHADOW_HELP                                                                                \
	"  --pool DIR             directory of its disks on the card\n\n"                          \
	"  gnomonctl shadow create web-1 --start\n"                                                \
	"  gnomonctl shadow create web-1 --when 'cpu 3.5 for 5min' --vcpus 1\n"

#define SHADOW_UPDATE_HELP                                                                         \
	SHADOW_HELP                                                                                \
	"  --stop                 do not run it\n"                                                 \
	"  --hold | --release     do not let it take its VM's place, or again\n"                   \
	"  --when never --every never --filter all   take back triggers, schedule, filters\n"      \
	"What is not named stays as it is.\n\n"                                                    \
	"  gnomonctl shadow update web-1 --vcpus-ceiling 4\n"

#define EXPORT_HELP                                                                                \
	"  --read-only            beside the VM's disk; one that writes takes its place\n"         \
	"  --listen ADDRESS       unix:///run/x.sock or tcp://ADDRESS:PORT; several exports may\n" \
	"                         share one (default: a Unix socket of its own)\n"                 \
	"  --as TEXT              the name that clients ask for (default: the export's)\n"         \
	"  --tls                  only with a certificate of the operators' root\n"                \
	"  --client NAME          ... and of this name (repeatable)\n"                             \
	"  --plain-tcp            TCP without TLS: anybody who reaches the port may\n"             \
	"  --connections N        at once, 1 to 64 (default: 16)\n"                                \
	"  --name EXPORT          here (default: the volume's)\n\n"                                \
	"  gnomonctl export create web-1-vda --read-only\n"                                        \
	"  gnomonctl export create web-1-vda --listen tcp://[::]:10809 --tls --client backup\n"

#define SESSION_OPTIONS "--direction --filter --truncate --sample"
#define SHADOW_OPTIONS                                                                             \
	"--start --vcpus --vcpus-step --vcpus-ceiling --memory --memory-step --memory-ceiling "    \
	"--replication --resync-rate --journal --snapshots --when --after "                        \
	"--every --rehearse-every --probe --probe-from " SESSION_OPTIONS

#define OPTIONS_OF(resource)                                                                       \
	" --" resource "-quantile --" resource "-horizon --" resource "-min --" resource           \
	"-max --" resource "-step --" resource "-headroom --" resource "-dead-band --" resource    \
	"-cooldown --" resource "-shrink-after --" resource "-max-change"
#define POLICY_OPTIONS                                                                             \
	"--mode" OPTIONS_OF("cpu") OPTIONS_OF("memory") OPTIONS_OF("network-rx")                   \
	        OPTIONS_OF("network-tx") OPTIONS_OF("disk-read") OPTIONS_OF("disk-write")          \
	                OPTIONS_OF("disk-operations")

const struct gn_ctl_entry gn_ctl_entries[] = {
        {"status", NULL, gn_ctl_status, "", "", "the card, its host and what is promised",
         "  gnomonctl status\n  gnomonctl --json status | jq .samples\n"},
        {"top", NULL, gn_ctl_top, "[--interval 2s] [--count N]", "--interval --count",
         "live table of all VMs; q ends it", "  gnomonctl top\n  gnomonctl top --interval 5s\n"},
        {"vm", "list", gn_ctl_vm_list, "[--names]", "--names", "the VMs behind the card",
         "  --names   only their names, one a line, for scripts\n\n  gnomonctl vm list\n"},
        {"vm", "show", gn_ctl_vm_show, "VM", "", "one VM: allocation, demand, ports, volumes",
         "  gnomonctl vm show web-1\n"},
        {"vm", "top", gn_ctl_vm_top,
         "VM [--sort cpu|rss|io|calls|pid] [--once] [--interval 2s] [--count N]",
         "--sort --once --interval --count", "what the guest's processes do, read from outside",
         "  --sort   what comes first; the keys c, m, i, s and p change it, q ends\n"
         "  --once   print it once; so does --json\n\n"
         "  gnomonctl vm top web-1\n  gnomonctl vm top web-1 --once --sort rss\n"},
        {"vm", "calls", gn_ctl_vm_calls, "VM", "",
         "what the guest's processes call, if it runs gnomon-guest",
         "  gnomonctl vm calls web-1\n"},
        {"vm", "create", gn_ctl_vm_create,
         "VM [--nic NAME[,vlan=N][,queues=N]]... [--disk NAME,path=FILE[,ro][,queues=N]]...",
         "--nic --disk", "put a VM behind the card",
         "  gnomonctl vm create web-1 --nic net0,vlan=10 --disk vda,path=/vm/web-1.raw\n"},
        {"vm", "delete", gn_ctl_vm_delete, "VM", "",
         "take a VM from behind the card (its disks stay)", "  gnomonctl vm delete web-1\n"},
        {"vm", "export-state", gn_ctl_vm_export_state, "VM FILE", "",
         "what the card has learnt of a VM, as a file",
         "  gnomonctl vm export-state web-1 web-1.state\n"},
        {"vm", "import-state", gn_ctl_vm_import_state, "VM FILE [--replace]", "--replace",
         "go on with what another card has learnt of a VM",
         "  --replace   even if this card has learnt more of it\n\n"
         "  gnomonctl vm import-state web-1 web-1.state\n"},
        {"vm", "threads", gn_ctl_vm_threads, "VM", "", "QEMU's threads, as its host sees them",
         "  gnomonctl vm threads web-1\n"},
        {"vm", "observe", gn_ctl_vm_observe, "VM --kind KIND [--for 10s]", "--kind --for",
         "look at a VM from its host's kernel for a while",
         "  --kind runq       how long its threads wait for a CPU\n"
         "         oncpu      how long they stay on one\n"
         "         blockio    how long QEMU's block requests take\n"
         "         syscalls   QEMU's system calls, by name\n"
         "  --for 10s         then it ends by itself; Ctrl-C ends it before\n"
         "The host's owner allows it in gnomon-shim.yaml; 'gnomonctl host probes' shows what.\n\n"
         "  gnomonctl vm observe web-1 --kind runq --for 10s\n"},
        {"host", "probes", gn_ctl_host_probes, "", "", "what can be observed on the host",
         "  gnomonctl host probes\n"},
        {"host", "fit", gn_ctl_host_fit, "--vcpus N --memory SIZE [--after 2h]",
         "--vcpus --memory --after", "would a VM of this size fit, and for how long",
         "Beside all that is promised: to the VMs' forecasts, and to the shadows that may be\n"
         "promoted. Reserves nothing; exits with 1 when it does not fit.\n\n"
         "  gnomonctl host fit --vcpus 2 --memory 4GiB\n"},
        {"forecast", NULL, gn_ctl_forecast, "VM", "", "what the VM will need, and how sure that is",
         "  gnomonctl forecast web-1\n"},
        {"history", NULL, gn_ctl_history, "VM RESOURCE [--last 1h] [--points N]", "--last --points",
         "demand, allocation and forecast over time",
         "  gnomonctl history web-1 cpu --last 10min\n"},
        {"hazard", NULL, gn_ctl_hazard, "VM", "", "how likely the VM fails, and by which signs",
         "  gnomonctl hazard web-1\n"
         "  gnomonctl hazard drives/WD-WX12A3456789   # a drive of the host, by its serial "
         "number\n"},
        {"audit", "verify", gn_ctl_audit_verify, "", "",
         "search the audit log for altered, removed or moved entries",
         "Checks every entry and every signature of the card here, on this machine; says where "
         "the\n"
         "log was tampered with. Exit status 1 when it was.\n\n  gnomonctl audit verify\n"},
        {"audit", "show", gn_ctl_audit_show, "[--last N]", "--last",
         "who or which forecast ordered what", "  gnomonctl audit show --last 100\n"},
        {"audit", "export", gn_ctl_audit_export, "[--format jsonl|syslog]", "--format",
         "the whole audit log, to standard output",
         "  --format jsonl    the log's own lines (the default)\n"
         "           syslog   RFC 5424\n\n  gnomonctl audit export > audit.jsonl\n"},
        {"alert", "list", gn_ctl_alert_list, "[VM] [--all]", "--all",
         "shortages and failures that are foreseen",
         "  --all   also those that are over\n\n  gnomonctl alert list\n"},
        {"alert", "ack", gn_ctl_alert_ack, "ALERT", "", "say that somebody takes care of it",
         "  gnomonctl alert ack 17\n"},
        {"model", "list", gn_ctl_model_list, "", "",
         "model packs: active, on trial, previous, and why", "  gnomonctl model list\n"},
        {"model", "import", gn_ctl_model_import, "FILE [--replace]", "--replace",
         "try a signed model pack beside the active one",
         "  --replace   end the trial that is under way\n"
         "The pack becomes active once it was measured to be better on this card.\n\n"
         "  gnomonctl model import our-fleet.signed.pack\n"},
        {"model", "rollback", gn_ctl_model_rollback, "[--trial]", "--trial",
         "return to the previous model pack",
         "  --trial     only end the trial that is under way\n\n"
         "  gnomonctl model rollback\n"},
        {"model", "export-history", gn_ctl_model_export_history, "FILE [options]",
         "--vm --resource --interval --last", "history as CSV, for tools/train and gnomon-replay",
         "  --vm VM          of one VM only\n"
         "  --resource cpu   of one resource only\n"
         "  --interval 5min  of a row; default: the predictor's period; the card keeps fine\n"
         "                   ones for less long (its configuration's 'store')\n"
         "  --last 7d        not older than that\n\n"
         "  gnomonctl model export-history fleet.csv --interval 5min\n"
         "  gnomon-replay --policy policy.yaml fleet.csv\n"},
        {"shadow", "create", gn_ctl_shadow_create, "VM [options]", "--pool " SHADOW_OPTIONS,
         "make a shadow of a VM", SHADOW_CREATE_HELP},
        {"shadow", "list", gn_ctl_shadow_list, "", "", "all shadows and their states",
         "  gnomonctl shadow list\n"},
        {"shadow", "show", gn_ctl_shadow_show, "VM", "", "one shadow",
         "  gnomonctl shadow show web-1\n"},
        {"shadow", "update", gn_ctl_shadow_update, "VM [options]",
         "--stop --hold --release " SHADOW_OPTIONS,
         "change start, scaling, replication, triggers, schedule or mirror", SHADOW_UPDATE_HELP},
        {"shadow", "delete", gn_ctl_shadow_delete, "VM", "", "remove a shadow and its disks",
         "  gnomonctl shadow delete web-1\n"},
        {"shadow", "promote", gn_ctl_shadow_promote, "VM [--accept-loss | --accept DURATION]",
         "--accept-loss --accept", "have a shadow take its VM's place",
         "For a VM that is lost; what may not be is refused, with the reason. Its ports and disks\n"
         "are cut off, its QEMU is made sure not to run, its disks become the shadow's, and it is\n"
         "started again.\n"
         "  --accept-loss      also when writes are missing, however many\n"
         "  --accept DURATION  also when those of the last so long are\n\n"
         "  gnomonctl shadow promote web-1\n"},
        {"shadow", "rehearse", gn_ctl_shadow_rehearse, "VM [--within 60s] [--no-wait]",
         "--within --no-wait", "try whether a shadow would boot, and how fast",
         "Clones the shadow's last consistent point, starts its domain on the clone, at a port\n"
         "whose packets go nowhere, waits until the clone sends a packet, and throws all of it\n"
         "away. The VM and its shadow's disks are not touched.\n"
         "  --within 60s  for the sign of life, at most 110s (default: 90s)\n"
         "  --no-wait      only begin it; 'shadow show' tells later\n\n"
         "  gnomonctl shadow rehearse web-1\n"},
        {"snapshot", "list", gn_ctl_snapshot_list, "[VM]", "", "snapshots of shadows",
         "  gnomonctl snapshot list web-1\n"},
        {"snapshot", "create", gn_ctl_snapshot_create, "VM NAME", "",
         "keep a shadow's disks as they are now",
         "Of one instant, and kept at once where the pool has reflink; else a whole copy, which "
         "takes\n"
         "as long as copying does. The VM is not held up. Rules: shadow create --snapshots.\n\n"
         "  gnomonctl snapshot create web-1 before-upgrade\n"},
        {"snapshot", "delete", gn_ctl_snapshot_delete, "VM NAME", "", "let a snapshot go",
         "  gnomonctl snapshot delete web-1 before-upgrade\n"},
        {"snapshot", "revert", gn_ctl_snapshot_revert, "VM NAME", "",
         "give a shadow the disks of a snapshot; it follows no more",
         "  gnomonctl snapshot revert web-1 before-upgrade\n"},
        {"snapshot", "export", gn_ctl_snapshot_export, "VM NAME DIRECTORY", "",
         "copy a snapshot to files on the card",
         "  gnomonctl snapshot export web-1 before-upgrade /var/tmp\n"},
        {"clone", NULL, gn_ctl_clone, "VM DIRECTORY", "",
         "copy a shadow's disks, as they are now, to files on the card",
         "An instant within the pool's file system, where that has reflink.\n\n"
         "  gnomonctl clone web-1 /pool/clones\n"},
        {"volume", "list", gn_ctl_volume_list, "", "", "volumes and how their shadows follow",
         "  gnomonctl volume list\n"},
        {"volume", "show", gn_ctl_volume_show, "VOLUME", "", "one volume",
         "  gnomonctl volume show web-1-vda\n"},
        {"volume", "create", gn_ctl_volume_create,
         "VOLUME --vm VM --size SIZE|--path PATH|--url URL",
         "--vm --size --path --url --read-only --write-through --serial --queues",
         "a disk for a VM, which its definition may then use",
         "  --size SIZE        a new file in the pool, which takes room as it is written\n"
         "  --path PATH        a raw file or block device of the card, as it is\n"
         "  --url URL          an export of an NBD server: nbd://HOST[:PORT]/EXPORT, nbds://,\n"
         "                     nbd+unix:///EXPORT?socket=PATH\n"
         "  --read-only        nobody may write it\n"
         "  --write-through    every write is durable at the NBD server before it is answered\n"
         "  --serial TEXT      what the guest reads as its serial, at most 20 bytes\n"
         "  --queues N         1 to 16\n\n"
         "  gnomonctl volume create web-1-data --vm web-1 --size 20GiB\n"},
        {"volume", "resize", gn_ctl_volume_resize, "VOLUME SIZE|--as-store", "--as-store",
         "make a volume larger while the VM uses it",
         "The guest is told. Smaller is refused, and so are volumes with a shadow or exports.\n\n"
         "  --as-store   take the size that its file or block device has by now\n\n"
         "  gnomonctl volume resize web-1-data 40GiB\n"},
        {"volume", "delete", gn_ctl_volume_delete, "VOLUME [--erase]", "--erase",
         "take a volume off the card that no VM uses",
         "  --erase   its file in the pool as well; otherwise the data stays\n\n"
         "  gnomonctl volume delete web-1-data --erase\n"},
        {"volume", "verify", gn_ctl_volume_verify, "VOLUME [--repair] [--rate SIZE]",
         "--repair --rate --no-wait --cancel",
         "compare a volume with its shadow while it is used; repair the shadow",
         "  --repair       copy to the shadow what differs, in its turn among the VM's writes\n"
         "  --rate SIZE    most bytes a second; the VM's requests come first either way\n"
         "  --no-wait      only begin; 'volume show' tells the rest\n"
         "  --cancel       end the one that runs\n"
         "Exit code 1: they differ, or parts could not be compared.\n\n"
         "  gnomonctl volume verify web-1-vda\n"
         "  gnomonctl volume verify web-1-vda --repair --rate 100MiB\n"},
        {"export", "create", gn_ctl_export_create, "VOLUME [options]",
         "--name --as --listen --read-only --tls --client --plain-tcp --connections",
         "let NBD clients use a volume", EXPORT_HELP},
        {"export", "list", gn_ctl_export_list, "", "", "volumes that NBD clients may use",
         "  gnomonctl export list\n"},
        {"export", "delete", gn_ctl_export_delete, "EXPORT", "",
         "end an export and cut its clients off", "  gnomonctl export delete web-1-vda\n"},
        {"update", "status", gn_ctl_update_status, "", "", "the card's slots and their health",
         "  gnomonctl update status\n"},
        {"update", "install", gn_ctl_update_install, "FILE [--restart] [--force]",
         "--restart --force", "a new image into the slot that does not run",
         "  --restart   then restart the card, which tries the slot\n"
         "  --force     even while a shadow is in use, moved to or rehearsed\n\n"
         "The card checks signature, board, security version and date before it writes, and reads\n"
         "back what it wrote. A slot that is not good in three boots gives way to the old one.\n"
         "Interrupted, the same command goes on where it stopped.\n\n"
         "  gnomonctl update install gnomon-0.2.0.update --restart\n"},
        {"update", "rollback", gn_ctl_update_rollback, "[--restart] [--force]", "--restart --force",
         "boot the other slot again, if it is good", "  gnomonctl update rollback --restart\n"},
        {"update", "history", gn_ctl_update_history, "", "", "what became of updates, and why",
         "  gnomonctl update history\n"},
        {"support", NULL, gn_ctl_support, "[FILE]", "",
         "all that the card tells of itself, in one file",
         "Status, report, VMs, shadows, plans, volumes, alerts, the newest of the audit log, "
         "updates,\n"
         "crash reports: as JSON, without keys, passwords and tokens (default: "
         "gnomon-support.json).\n\n"
         "  gnomonctl support card-1.json\n"},
        {"board", "check", gn_ctl_board_check, "FILE", "", "what a board can do, by its board.yaml",
         "Exit status 1: the file contradicts itself. Asks no card.\n\n"
         "  gnomonctl board check board/bluefield3/board.yaml\n"},
        {"mirror", "show", gn_ctl_mirror_show, "[VM]", "", "mirror sessions and their counters",
         "  gnomonctl mirror show web-1\n"},
        {"mirror", "set", gn_ctl_mirror_set, "VM SESSION --sink SINK [options]",
         "--sink " SESSION_OPTIONS, "create a mirror session or replace its settings",
         "  --sink port=PORT | pcapng=FILE |\n"
         "         erspan|vxlan=PORT,ip=A,mac=M,local-ip=A,local-mac=M,id=N\n"
         "  --direction both|rx|tx   as the VM sees it\n"
         "  --filter 'proto tcp dst 10.0.0.0/8 dport 80'   (repeatable; also src, sport, vlan,\n"
         "                           ethertype)\n"
         "  --truncate N             bytes kept of a packet\n"
         "  --sample N               one packet in N\n\n"
         "  gnomonctl mirror set web-1 capture --sink pcapng=/var/tmp/web-1.pcapng --sample 10\n"},
        {"mirror", "delete", gn_ctl_mirror_delete, "VM SESSION", "", "end a mirror session",
         "  gnomonctl mirror delete web-1 capture\n"},
        {"policy", "get", gn_ctl_policy_get, "VM", "", "what may be changed, and how",
         "  gnomonctl policy get web-1\n"},
        {"policy", "set", gn_ctl_policy_set, "VM options", POLICY_OPTIONS, "change a policy",
         POLICY_HELP},
        {"plan", "list", gn_ctl_plan_list, "[VM] [--pending] [--limit N] [--names]",
         "--pending --limit --names", "plans, newest first",
         "  --pending   only those that wait for approval\n"
         "  --limit N   20 when not given\n"
         "  --names     only their names, one a line, for scripts\n\n"
         "  gnomonctl plan list web-1 --pending\n"},
        {"plan", "show", gn_ctl_plan_show, "PLAN", "", "one plan: why, what, and what came of it",
         "  gnomonctl plan show 17\n"},
        {"plan", "approve", gn_ctl_plan_approve, "PLAN", "", "carry out a pending plan",
         "  gnomonctl plan approve 17\n"},
        {"plan", "reject", gn_ctl_plan_reject, "PLAN", "", "drop a pending plan",
         "  gnomonctl plan reject 17\n"},
        {"watch", NULL, gn_ctl_watch, "", "", "events as they happen, until Ctrl-C",
         "  gnomonctl watch\n  gnomonctl --json watch | jq .text\n"},
        {"report", NULL, gn_ctl_report, "", "", "what was done since the card's start",
         "  gnomonctl report\n"},
};
const size_t gn_ctl_n_entries = sizeof gn_ctl_entries / sizeof gn_ctl_entries[0];

const struct gn_ctl_entry *gn_ctl_find(int n_words, char *const *words, int *taken,
                                       bool *noun_known)
{
	*noun_known = false;
	for (size_t i = 0; n_words > 0 && i < gn_ctl_n_entries; i++) {
		const struct gn_ctl_entry *entry = &gn_ctl_entries[i];

		if (strcmp(words[0], entry->noun))
			continue;
		*noun_known = true;
		if (!entry->verb || (n_words > 1 && !strcmp(words[1], entry->verb))) {
			*taken = entry->verb ? 2 : 1;
			return entry;
		}
	}
	return NULL;
}

const char *gn_ctl_verbs(const char *noun, char *text, size_t size)
{
	size_t n = 0, used = 0, left = 0;

	for (size_t i = 0; i < gn_ctl_n_entries; i++)
		left += !strcmp(gn_ctl_entries[i].noun, noun) && gn_ctl_entries[i].verb;
	text[0] = '\0';
	for (size_t i = 0; i < gn_ctl_n_entries && used < size; i++) {
		const struct gn_ctl_entry *entry = &gn_ctl_entries[i];

		if (strcmp(entry->noun, noun) || !entry->verb)
			continue;
		used += (size_t)snprintf(text + used, size - used, "%s%s",
		                         !n          ? ""
		                         : left == 1 ? " or "
		                                     : ", ",
		                         entry->verb);
		n++;
		left--;
	}
	return text;
}

void gn_ctl_print_help(const struct gn_ctl_entry *entry)
{
	printf("gnomonctl %s%s%s%s%s\n    %s\n", entry->noun, entry->verb ? " " : "",
	       entry->verb ? entry->verb : "", entry->arguments[0] ? " " : "", entry->arguments,
	       entry->summary);
	if (entry->help)
		printf("\n%s", entry->help);
}

static void print_summary(const struct gn_ctl_entry *entry)
{
	char name[64];

	snprintf(name, sizeof name, "%s%s%s", entry->noun, entry->verb ? " " : "",
	         entry->verb ? entry->verb : "");
	printf("  %-15s  %s\n", name, entry->summary);
}

void gn_ctl_print_noun(const char *noun)
{
	for (size_t i = 0; i < gn_ctl_n_entries; i++)
		if (!strcmp(gn_ctl_entries[i].noun, noun))
			print_summary(&gn_ctl_entries[i]);
	printf("\n  gnomonctl %s VERB --help\n", noun);
}

void gn_ctl_print_overview(void)
{
	puts("gnomonctl - asks and commands a gnomon card\n"
	     "\n"
	     "  gnomonctl [options] COMMAND [arguments]      gnomonctl COMMAND --help\n");
	for (size_t i = 0; i < gn_ctl_n_entries; i++)
		print_summary(&gn_ctl_entries[i]);
	puts("  completion       bash|zsh: a script for the shell\n"
	     "\n"
	     "  --config FILE    default: $GNOMONCTL_CONFIG, then ~/.config/gnomon/ctl.yaml\n"
	     "  --server URL     tls+tcp://card:7443, or ipc:///run/gnomon/gnomond.ipc on the "
	     "card\n"
	     "  --events URL     where the card publishes events\n"
	     "  --ca, --cert, --key FILE   who signs cards; our certificate and its key\n"
	     "  --timeout 10s    how long to wait for an answer\n"
	     "  --json           the card's answer as JSON\n"
	     "  --help, --version\n"
	     "\n"
	     "VMs may be named web-1 or vms/web-1, plans 17 or plans/17; --option=value works "
	     "too.\n"
	     "Sizes: 64K and 64KiB are 1024s, 64kB is 1000s. Exit status: 0 done, 1 the card "
	     "refused,\n"
	     "2 wrong usage, 3 the card cannot be reached.\n"
	     "\n"
	     "  gnomonctl status\n"
	     "  gnomonctl forecast web-1\n"
	     "  gnomonctl policy set web-1 --mode enforce");
}
