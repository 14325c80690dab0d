/*
 * mnctl: the words of the command line, and help that teaches them.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mnctl.h"

const struct command commands[] = {
    {"list", "list [--watch]", "the pens that are plugged in",
     "Shows every pen: serial number, port, link, state, faults. A pen that cannot be opened is shown with the reason.\n"
     "  --watch    stay, and say when a pen comes, goes or changes\n"
     "\n  mnctl list --json",
     cmd_list},
    {"info", "info", "everything about one pen",
     "Model, firmware, cartridge, counters, link and records of the pen.\n\n  mnctl --pen SIM-0001 info", cmd_info},
    {"config", "config show | get NAME | set NAME=VALUE... | diff FILE | export [FILE] | import FILE | reset", "read and change settings",
     "show      all settings with their ranges\n"
     "get       one value, without its unit\n"
     "set       one or more, all or none; values may have units: depth=1.2mm rate=120Hz soft-start=0.5s\n"
     "          --if-generation N refuses if somebody else has changed the configuration since N was read\n"
     "diff      what would change if FILE were imported; exit code 1 if anything would\n"
     "export    as JSON, to FILE or to the terminal\n"
     "import    from such a file, all or none\n"
     "reset     to the defaults\n"
     "\n  mnctl config set depth=1.2mm rate=120Hz",
     cmd_config},
    {"watch", "watch [--seconds N] [--csv] [--every N] [--latency MS]", "live telemetry",
     "In a terminal: numbers and plots of depth, rate and current; q ends it. Otherwise, or with --json, a line for each batch.\n"
     "  --csv         one line for each fast sample\n"
     "  --seconds N   end by itself\n"
     "  --every N     only every N-th fast sample: 1, 2, 5, 10, 20, 50, 100, 200, 500 or 1000; those between are not seen\n"
     "  --latency MS  how old a sample may be when it comes, 5 to 2000 [50]; more is less work\n"
     "\n  mnctl watch --csv --seconds 10 > run.csv",
     cmd_watch},
    {"faults", "faults [--follow | --table | show [ID] [--html FILE] | clear [CODE] [--service]]", "faults: now, as they come, in detail, and cleared",
     "Without more: the faults that the pen has now.\n"
     "  --follow     stay, and say each fault as it comes and goes; all pens unless one is chosen; over restarts of mnd\n"
     "  --table      all faults there are\n"
     "  show         one that was recorded (the last, or the record ID): what was the case, and plots of depth, rate and current\n"
     "               from 5 s before to 1 s after it; --html FILE makes a page of it, to mail\n"
     "  clear        clears one by its code, or all that can be; what still has its cause stays\n"
     "  --service    with clear: those of kind SERVICE as well\n"
     "\n  mnctl faults clear 1101",
     cmd_faults},
    {"records", "records [--since T] [--kind K] [--priority P] [--last N] [--follow] [--export jsonl|csv [--output FILE]] | verify | backup FILE",
     "what pens have recorded: faults, changes, runs, boots",
     "The journal of mnd: every record of every pen (or of the one that --pen names whole), in the order in which it was written.\n"
     "  --since T, --until T   10m, 2h, 3d, today, 2026-11-21, \"2026-11-21 08:30\"\n"
     "  --kind K               boot, fault, config, run, or several: fault,run\n"
     "  --priority P           of faults: H, M, L, or several: HM\n"
     "  --last N               the last N [40, unless --since says more]\n"
     "  --follow               stay, and show each record as it comes, exactly once, over restarts of mnd\n"
     "  --after CURSOR         those behind this one, as --json shows it: how a script goes on where it was\n"
     "  --export jsonl|csv     for other programs; all of them\n"
     "  --output FILE          with --export; when all is in it, mnd may drop what is too old or too much\n"
     "  verify                 reads the whole journal: is every row as it was written, and none missing?\n"
     "  backup FILE            a copy of the journal as it is at this moment\n"
     "\n  mnctl records --since today --kind fault --priority HM",
     cmd_records},
    {"session", "session plan | check | start | resume | pause | end | status | list | show N | aftercare N | event N WHAT", "a treatment, from its plan to its summary",
     "plan       writes a plan to fill in; with --output FILE, asks all of it in the terminal and writes it there\n"
     "check      what the policy finds in a plan; nothing begins. Exit code 5 if it would be refused\n"
     "start      asks what is missing, checks, shows what will be applied, asks once, and arms: the pen's trigger starts the needles.\n"
     "           It stays: Enter arms again, n is the next zone, p pauses, c clears faults, e ends. Ctrl-C stops the needles and leaves the session open\n"
     "resume     goes on with the open session [--zone ZONE]\n"
     "pause      stops the needles       end [--aborted]   ends the open session, with its summary\n"
     "status     what is open            list [--subject KEY]   all; of a subject with what was planned and is due\n"
     "show N     one                     aftercare N [--html FILE]   the card for whoever was treated, as text, JSON or a page to print\n"
     "event N WHAT   what was seen after a session; --table lists it\n"
     "Of plan, check and start: FILE or --answers FILE (as plan writes it), --subject KEY, --indication NAME, --zone ZONE:DEPTH:RATE (again for\n"
     "more), --numbed MINUTES, --waive-numbing REASON, --product NAME; of start and resume: --yes, not to be asked before arming.\n"
     "A subject is a key of the clinic's own. No names: nothing here may name a person.\n"
     "\n  mnctl session start --subject K-0042 --zone cheek:1.2mm:120Hz --numbed 40",
     cmd_session},
    {"lease", "lease [take | take-over | request] [--give]", "who controls a pen, and taking control",
     "One program at a time controls a pen: it alone may arm it, and nobody else may change it meanwhile.\n"
     "Without more: who controls each pen.\n"
     "  take         control it until this ends; that stops the needles\n"
     "  request      ask the one who controls it, and wait for it (--timeout MS)\n"
     "  take-over    from whoever controls it; for the role service, and recorded\n"
     "  --give       to whoever asks\n"
     "\n  mnctl lease take",
     cmd_lease},
    {"policy", "policy show [--markdown] | check FILE | diff FILE", "the treatment policy: zones, depths, questions, times",
     "show         every row of the policy, with its source; where the site has its own figure, that, with the default\n"
     "             --markdown   the defaults, as docs/policy.md has them; needs no mnd\n"
     "check FILE   is this a policy that a site may have?\n"
     "diff FILE    what it would change, row by row; exit code 1 if anything\n"
     "\n  mnctl policy check /etc/mnd/policy.yaml",
     cmd_policy},
    {"guide", "guide [INDICATION]", "what a treatment of an indication asks for",
     "Sessions, intervals, depths by zone with their numbing, questions beforehand, and care afterwards.\n"
     "\n  mnctl guide scars",
     cmd_guide},
    {"stop", "stop [--all]", "stop the needles", "Stops the pen's needles, in whatever state it is.\n  --all    of every pen\n\n  mnctl stop --all",
     cmd_stop},
    {"selftest", "selftest", "let the pen test itself", "RAM, ADC, reference, enable line and homing; needs a pen in SAFE.\n\n  mnctl selftest",
     cmd_selftest},
    {"ping", "ping [--count N] [--bytes N] [--daemon]", "round trips to the pen",
     "Sends bytes through daemon and pen and back, and says how long that took.\n"
     "  --count N    so many [10]\n  --bytes N    0 to 1003 [64]\n  --daemon     only to the daemon\n\n  mnctl ping --count 100",
     cmd_ping},
    {"sim", "sim trigger|load|cartridge|charge|inject|clear|unplug|replug|power-cycle|power-cut|hang|link|truth ...", "what happens to a simulated pen",
     "  trigger press | release        load PERMILLE           charge PERCENT\n"
     "  cartridge insert [uid=HEX] [needles=N] [max_depth_um=N] [expiry=UNIX_SECONDS] | remove\n"
     "  inject CODE | clear CODE|all   the cause of a fault    power-cycle | hang\n"
     "  power-cut WRITE [BYTES]        in its WRITE-th write to its memory from now, of which BYTES arrive\n"
     "  unplug [SECONDS] | replug      the cable               link good | drop=P corrupt=P delay=P:MS ...\n"
     "  halt                           stalls a pipe, once\n"
     "  truth                          what really is the case\n"
     "\n  mnctl sim inject 1401",
     cmd_sim},
    {"monitor", "monitor [--clients | --client PID] [--seconds N] [--pcapng FILE]", "what goes by between mnd, pens and programs",
     "Every transfer of the pens (or of the one that --pen chooses), decoded, a line each. => is a request on EP0, -> and <- are\n"
     "the bulk pipes, <= is a status, >> and << are what a program says and is told. With --json, one object for each, whole.\n"
     "  --clients      also what programs say and are told\n"
     "  --client PID   only that of one program\n"
     "  --seconds N    end by itself\n"
     "  --pcapng FILE  for Wireshark, - for a pipe to it; docs/monitor.md says how it decodes them\n"
     "\n  mnctl monitor --pcapng - | wireshark -k -i -",
     cmd_monitor},
    {"doctor", "doctor", "what is wrong, and the next thing to do",
     "Looks at every joint in order: the socket and who may open it, the daemon, the udev rule, pens that the kernel sees and\n"
     "whether mnd has opened them, programs that hold them, errors on the links, free disk. The last line is the next thing to\n"
     "do; exit code 1 if there is one. As root it sees more.\n"
     "\n  mnctl doctor",
     cmd_doctor},
    {"version", "version", "versions of mnctl, libmn and mnd", "\n  mnctl version", cmd_version},
};
const size_t command_count = sizeof(commands) / sizeof(commands[0]);

static const char *const words[] = {"list", "info", "config", "watch", "faults",  "records", "session", "lease", "policy", "guide", "stop",
                                    "selftest", "ping", "sim",    "monitor", "doctor", "version", "help", "completion"};

static void print_help(void)
{
    printf("mnctl - microneedling pens from the command line\n\nusage: mnctl [options] COMMAND ...\n\n");
    for (size_t i = 0; i < command_count; i++)
        printf("  %-10s %s\n", commands[i].name, commands[i].line);
    printf("  %-10s %s\n  %-10s %s\n", "help", "help COMMAND, help exit (exit codes)", "completion", "completion bash: for your shell");
    printf("\n"
           "  --pen SERIAL     which pen, by serial number or its beginning; needed if there are several\n"
           "  --socket PATH    of the daemon [$MN_SOCKET, else /run/mnd/mnd.sock]\n"
           "  --json           for programs\n"
           "  --timeout MS     for each request [2000]\n"
           "\n"
           "Try: mnctl list, then mnctl watch\n");
}

static int print_help_of(const char *name)
{
    if (strcmp(name, "exit") == 0) {
        printf("Exit codes of mnctl\n  0  done\n  1  failed (and: config diff found a difference)\n  2  the words were wrong\n"
               "  3  mnd is not running, or its socket is not for you\n  4  no such pen, several to choose from, or it is not ready\n"
               "  5  refused: out of range, wrong state, a fault, changed by somebody else\n"
               "  6  no answer: timeout, or the pen or the daemon went away\n");
        return EXIT_OK;
    }
    for (size_t i = 0; i < command_count; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            printf("usage: mnctl [options] %s\n\n%s\n", commands[i].usage, commands[i].help);
            return EXIT_OK;
        }
    }
    return usage_error("there is no command %s", name);
}

static int print_completion(const char *shell)
{
    if (shell == NULL || strcmp(shell, "bash") != 0)
        return usage_error("completion is there for bash: mnctl completion bash");
    printf("_mnctl() {\n"
           "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} i cmd=\n"
           "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
           "    case ${COMP_WORDS[i]} in --pen|--socket|--timeout) ((i++));; -*) ;; *) cmd=${COMP_WORDS[i]}; break;; esac\n"
           "  done\n"
           "  case $prev in\n"
           "    --pen) COMPREPLY=($(compgen -W \"$(mnctl list --serials 2>/dev/null)\" -- \"$cur\")); return;;\n"
           "    --socket|--pcapng|--html|--output|--answers|backup|import|export|diff) COMPREPLY=($(compgen -f -- \"$cur\")); return;;\n"
           "  esac\n"
           "  case $cmd in\n"
           "    '') COMPREPLY=($(compgen -W 'list info config watch faults records session lease policy guide stop selftest ping sim monitor doctor version help completion --pen "
           "--socket --json --timeout --help' -- \"$cur\"));;\n"
           "    config) COMPREPLY=($(compgen -W 'show get set diff export import reset");
    for (size_t i = 0; i < mn_setting_count(); i++)
        printf(" %s=", mn_setting_at(i)->name);
    printf("' -- \"$cur\")); [[ ${COMPREPLY-} == *= ]] && compopt -o nospace;;\n"
           "    faults) COMPREPLY=($(compgen -W '--follow --table show clear --service --html' -- \"$cur\"));;\n"
           "    records) COMPREPLY=($(compgen -W '--since --until --kind --priority --last --follow --after --export --output verify backup' -- \"$cur\"));;\n"
           "    sim) COMPREPLY=($(compgen -W 'trigger load cartridge charge inject clear unplug replug power-cycle power-cut hang halt link truth press "
           "release insert remove all good' -- \"$cur\"));;\n"
           "    watch) COMPREPLY=($(compgen -W '--seconds --csv --every --latency --json' -- \"$cur\"));;\n"
           "    monitor) COMPREPLY=($(compgen -W '--clients --client --seconds --pcapng --json' -- \"$cur\"));;\n"
           "    ping) COMPREPLY=($(compgen -W '--count --bytes --daemon' -- \"$cur\"));;\n"
           "    lease) COMPREPLY=($(compgen -W 'take take-over request --give' -- \"$cur\"));;\n"
           "    policy) COMPREPLY=($(compgen -f -W 'show check diff --markdown' -- \"$cur\"));;\n"
           "    session) COMPREPLY=($(compgen -W 'plan check start resume pause end status list show aftercare event --answers --subject --indication --zone "
           "--numbed --waive-numbing --product --yes --output --aborted --html --table' -- \"$cur\"));;\n"
           "    guide) COMPREPLY=($(compgen -W '$(mnctl guide --names)' -- \"$cur\"));;\n"
           "    stop) COMPREPLY=($(compgen -W '--all' -- \"$cur\"));;\n"
           "    help) COMPREPLY=($(compgen -W 'list info config watch faults records session lease policy guide stop selftest ping sim monitor doctor version exit' -- \"$cur\"));;\n"
           "  esac\n"
           "}\n"
           "complete -F _mnctl mnctl\n");
    return EXIT_OK;
}

/* Takes the options that every command has out of the words, wherever they stand. -1: go on. */
static int take_options(struct app *a, int *argc, char **argv)
{
    static char version[] = "version";
    int kept = 1;

    for (int i = 1; i < *argc; i++) {
        const char *w = argv[i];
        const char **text = strcmp(w, "--pen") == 0 ? &a->pen : strcmp(w, "--socket") == 0 ? &a->socket : NULL;
        bool timeout = strcmp(w, "--timeout") == 0;

        if ((text != NULL || timeout) && i + 1 >= *argc)
            return usage_error("%s needs a value", w);
        if (text != NULL) {
            *text = argv[++i];
        } else if (timeout) {
            char *end;
            long ms = strtol(argv[++i], &end, 10);

            if (*end != '\0' || ms < 1 || ms > 60000)
                return usage_error("--timeout takes 1 to 60000 ms, not %s", argv[i]);
            a->timeout_ms = (int)ms;
        } else if (strcmp(w, "--json") == 0) {
            a->json = true;
        } else if (strcmp(w, "--help") == 0 || strcmp(w, "-h") == 0) {
            if (kept > 1)
                return print_help_of(argv[1]);
            print_help();
            return EXIT_OK;
        } else if (strcmp(w, "--version") == 0 && kept == 1) {
            argv[kept++] = version;
        } else {
            argv[kept++] = argv[i];
        }
    }
    *argc = kept;
    return -1;
}

static int run(struct app *a, int argc, char **argv)
{
    const char *near;
    int r;

    if (argc < 2) {
        print_help();
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "help") == 0) {
        if (argc > 2)
            return print_help_of(argv[2]);
        print_help();
        return EXIT_OK;
    }
    if (strcmp(argv[1], "completion") == 0)
        return print_completion(argc > 2 ? argv[2] : NULL);
    for (size_t i = 0; i < command_count; i++) {
        if (strcmp(commands[i].name, argv[1]) != 0)
            continue;
        r = commands[i].run(a, argc - 1, argv + 1);
        mn_close(a->client);
        return r;
    }
    near = nearest(argv[1], words, sizeof(words) / sizeof(words[0]));
    if (near != NULL)
        return usage_error("there is no command %s; did you mean %s?", argv[1], near);
    return usage_error("there is no command %s", argv[1]);
}

int main(int argc, char **argv)
{
    struct app a = {.timeout_ms = 2000};
    int r;

    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of write(), and ends with a sentence or, for pagers, in silence */
    r = take_options(&a, &argc, argv);
    if (r < 0)
        r = run(&a, argc, argv);
    return r == EXIT_OK ? flush_output() : r;
}
