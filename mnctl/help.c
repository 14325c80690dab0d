#include "help.h"

#include <string.h>

#define OPTIONS(...) (const struct help_option[]){__VA_ARGS__, {NULL, NULL}}

#define PLAN_OPTIONS                                                                                                    \
    {"FILE", "a plan, as `session plan` writes it (--answers FILE is the same)"}, {"--subject KEY", "the clinic's own key; never a name"},            \
        {"--indication NAME", "what is treated: mnctl guide lists them"}, {"--zone ZONE:DEPTH:RATE", "where, how deep and how fast: cheek:1.2mm:120Hz; again for more zones"},     \
        {"--numbed MINUTES", "how long ago the numbing was applied"}, {"--waive-numbing REASON", "why there is none"}, {"--product NAME", "PRP, GROWTH_FACTOR, SERUM or VITAMINS_OR_PEPTIDES; recorded"},                               \
        {"--continue N", "this is the rest of session N, which was broken off today"}, {"--because REASON", "needed with it, and recorded"}

static const struct command commands[] = {
    {"list", GROUP_LOOK, "the pens that are plugged in", "list [--watch]",
     "Every pen with its serial number, port, link, state, cartridge and faults. A pen that cannot be opened is shown with the reason.",
     OPTIONS({"--watch", "stay, and show each pen that comes, goes or changes"}), "mnctl list", cmd_list},
    {"info", GROUP_LOOK, "everything about a pen", "info", "Model, firmware, cartridge, counters, link and records: of every pen, or of the one that --pen names.", NULL,
     "mnctl --pen SIM-0001 info", cmd_info},
    {"watch", GROUP_LOOK, "live telemetry", "watch [--seconds N] [--csv] [--every N] [--latency MS]",
     "In a terminal: figures and plots of depth, rate and current. Otherwise a line each second; with --json a line for each batch, of all pens "
     "unless one is chosen.",
     OPTIONS({"--seconds N", "end by itself after N seconds"}, {"--csv", "one line for each fast sample, of all pens unless one is chosen"},
             {"--every N", "only every N-th fast sample: 1, 2, 5, 10, 20, 50, 100, 200, 500 or 1000; those between are not seen"},
             {"--latency MS", "how old a sample may be when it comes, 5 to 2000 [50]; more is less work"}),
     "mnctl watch --csv --seconds 10 > run.csv", cmd_watch},
    {"faults", GROUP_LOOK, "faults: now, as they come, in detail, and cleared", "faults\nfaults --follow | --table\nfaults show [ID] [--html FILE]\nfaults clear [CODE] [--service]",
     "Without more: the faults that each pen has now, with what to do.",
     OPTIONS({"--follow", "stay, and show each fault as it comes and goes; over restarts of mnd"}, {"--table", "all faults that there are"},
             {"show", "one that was recorded (the last, or the record ID), with plots of depth, rate and current from 5 s before to 1 s after it"},
             {"--html FILE", "with show: a page of it, to mail"}, {"clear", "clears one by its code, or all that can be; what still has its cause stays"},
             {"--service", "with clear: those of kind SERVICE as well"}),
     "mnctl faults clear 1101", cmd_faults},
    {"config", GROUP_SET_UP, "read and change settings",
     "config [show]\nconfig get [NAME]\nconfig set NAME=VALUE... [--if-generation N]\nconfig diff FILE | import FILE | export [FILE]\nconfig reset", NULL,
     OPTIONS({"show", "all settings, with what they may be"}, {"get", "one value in its own unit (um, dhz), for scripts; without a NAME all of them"},
             {"set", "one or more, all or none, with units: depth=1.2mm rate=120Hz soft-start=0.5s"},
             {"--if-generation N", "with set: only if nobody has changed the configuration since it was N"}, {"diff", "what would change if FILE were imported; exit code 1 if anything would"},
             {"export", "as JSON, to FILE or to the terminal"}, {"--force", "with export: over a file that is there"}, {"import", "from such a file, all or none"}, {"reset", "all to their defaults"}),
     "mnctl config set depth=1.2mm rate=120Hz", cmd_config},
    {"lease", GROUP_SET_UP, "who controls a pen, and taking control", "lease\nlease take | request [--give] | take-over",
     "One program at a time controls a pen: it alone may arm it, and nobody else may change it meanwhile. Without more: who controls each pen.",
     OPTIONS({"take", "control it until this ends; that stops the needles"}, {"request", "ask the one who controls it, and wait (--timeout MS)"},
             {"take-over", "from the program that controls it; for the role service, and recorded"}, {"--give", "to a program that asks for it"}),
     "mnctl lease take", cmd_lease},
    {"policy", GROUP_SET_UP, "the treatment policy: zones, depths, questions, times", "policy show [--markdown]\npolicy check FILE | diff FILE", NULL,
     OPTIONS({"show", "every row with its source; where the site has its own figure, that, with the default"}, {"--markdown", "with show: the defaults, as docs/policy.md has them; needs no mnd"},
             {"check", "is this a policy that a site may have?"}, {"diff", "what it would change, row by row; exit code 1 if anything"}),
     "mnctl policy check /etc/mnd/policy.yaml", cmd_policy},
    {"clock", GROUP_SET_UP, "whether the time is right, and after one that was wrong, that it is", "clock [confirm]",
     "Without a word: is the time what treatments can be judged by? When mnd's clock is behind what its journal has seen, no session begins: intervals and expiry dates could not be judged. Set the clock right. If it is right, and was "
     "wrong before, the role service confirms it here; that is recorded, and no earlier treatment counts as later than now.",
     OPTIONS({"confirm", "the clock of the machine on which mnd runs is right"}), "mnctl clock confirm", cmd_clock},
    {"session", GROUP_TREAT, "a treatment, from its plan to its summary",
     "session start [PLAN] [--yes]\nsession resume [--zone ZONE] [--yes]\nsession plan [PLAN] [--output FILE]\nsession check PLAN\nsession pause | end [--aborted] | status\nsession list [--subject KEY | --cartridge UID | --lot LOT]\n"
     "session show [N] | aftercare [N] [--html FILE] | event N WHAT",
     "A treatment: `session start` asks all that it needs, shows what will be applied, asks once more, and arms. Only the pen's trigger starts the needles. It stays while the "
     "treatment is under way; Ctrl-C stops the needles and leaves the session open. A subject is a key of the clinic's own: nothing here may name a person.",
     OPTIONS({"start", "begins a session and arms the pen; what is missing in the plan is asked"}, {"resume", "goes on with the open session"},
             {"plan", "writes a plan to fill in; with --output, asks for all of it and writes it there"}, {"check", "what the policy finds in a plan; nothing begins. Exit code 5 if it would be refused"},
             {"pause", "stops the needles"}, {"end", "ends the open session, with its summary"}, {"status", "the open sessions"}, {"list", "all sessions; of a subject also what is planned and due; of a cartridge or a lot, those in which it was used"},
             {"show", "the last session, or session N"}, {"aftercare", "the card for the person treated in the last session, or in session N"}, {"event", "what was seen after session N; --table lists what can be"},
             {"--yes", "of start and resume: arm without asking"}, {"--aborted", "of end: it was not carried out as planned"}, {"--output FILE", "of plan"}, {"--html FILE", "of aftercare: a page to print"},
             {"--table", "of event"}, {"--cartridge UID", "of list: sessions in which this cartridge was used"}, {"--lot LOT", "of list: in which one of this lot was used"}, PLAN_OPTIONS),
     "mnctl session start --subject K-0042 --zone cheek:1.2mm:120Hz", cmd_session},
    {"guide", GROUP_TREAT, "what a treatment of an indication asks for", "guide [INDICATION]",
     "Sessions, intervals, depths by zone with their numbing, questions beforehand, and care afterwards.", NULL, "mnctl guide scars", cmd_guide},
    {"stop", GROUP_TREAT, "stop the needles", "stop [--all]", "Stops the pen's needles, in whatever state it is, and even if another program controls it.", OPTIONS({"--all", "of every pen"}),
     "mnctl stop --all", cmd_stop},
    {"doctor", GROUP_FIND_OUT, "what is wrong, and the next thing to do", "doctor",
     "Looks at every joint in order: the socket and who may open it, the daemon, its journal, the udev rule, pens that the kernel sees and whether mnd has opened them, programs that "
     "hold them, errors on the links, the pens' own faults, free disk. The last line is the next thing to do; exit code 1 if there is one. As root it sees more.",
     NULL, "mnctl doctor", cmd_doctor},
    {"records", GROUP_FIND_OUT, "what pens have recorded: faults, changes, runs, boots",
     "records [--since TIME] [--until TIME] [--kind KIND] [--priority P] [--last N] [--follow]\nrecords --export jsonl|csv [--output FILE [--force]]\nrecords --overrides [--since TIME]\nrecords verify | backup FILE",
     "The journal of mnd: every record of every pen (or of the one that --pen names whole), in the order in which it was written.",
     OPTIONS({"--since TIME", "from then on: 10m, 2h, 3d, yesterday, monday, 2026-11-21, \"2026-11-21 08:30\""}, {"--until TIME", "up to then"},
             {"--kind KIND", "boot, fault, config, run, session, or several: fault,run"}, {"--priority P", "of faults: H, M, L, or several: HM"},
             {"--last N", "the last N [40, unless --since says more]"}, {"--follow", "stay, and show each record as it comes, exactly once, over restarts of mnd"},
             {"--after CURSOR", "those behind this one, as --json shows it: how a script goes on where it was"}, {"--export FORMAT", "jsonl or csv, for other programs; all of them"},
             {"--output FILE", "with --export; when all is in it, mnd may drop what is too old or too much"}, {"--force", "write over a file that is there already"},
             {"--overrides", "who has overridden what: waivers, confirmations, shorter intervals, continuations, take-overs, the clock"},
             {"verify", "reads the whole journal: is every row as it was written, and none missing?"}, {"backup", "writes a copy of the journal, as it is at this moment, to FILE"}),
     "mnctl records --since today --kind fault --priority HM", cmd_records},
    {"selftest", GROUP_FIND_OUT, "let the pen test itself", "selftest", "RAM, ADC, reference, enable line and homing; needs a pen in SAFE.", NULL, "mnctl selftest", cmd_selftest},
    {"ping", GROUP_FIND_OUT, "round trips to the pen", "ping [--count N] [--bytes N] [--daemon]", "Sends bytes through daemon and pen and back, and shows how long that took.",
     OPTIONS({"--count N", "so many [10]"}, {"--bytes N", "0 to 1003 [64]"}, {"--daemon", "only to the daemon"}), "mnctl ping --count 100", cmd_ping},
    {"version", GROUP_FIND_OUT, "versions of mnctl, libmn and mnd", "version", NULL, NULL, "mnctl version", cmd_version},
    {"monitor", GROUP_DEVELOP, "what goes by between mnd, pens and programs", "monitor [--clients | --client PID | --requests] [--seconds N] [--pcapng FILE [--force]]",
     "Every transfer of the pens (or of the one that --pen chooses), decoded, a line each. => is a request on EP0, -> and <- are the bulk pipes, <= is a status, >> and << are what a "
     "program says and is told. With --json, one object for each, whole.",
     OPTIONS({"--clients", "also what programs say and are told"}, {"--client PID", "only that of one program"},
             {"--requests", "what a program may say, and which role it needs; no daemon is needed"}, {"--seconds N", "end by itself"},
             {"--pcapng FILE", "for Wireshark, - for a pipe to it; docs/monitor.md says how it decodes them"}, {"--force", "write over a file that is there already"}),
     "mnctl monitor --pcapng - | wireshark -k -i -", cmd_monitor},
    {"sim", GROUP_DEVELOP, "what happens to a simulated pen", "sim WHAT...", NULL,
     OPTIONS({"trigger press | release", "the pen's own trigger"}, {"load PERMILLE", "how hard the skin holds the needles; 1500 stalls them"},
             {"cartridge insert | remove", "insert takes uid=HEX needles=N max_depth_um=N expiry=UNIX_SECONDS"}, {"charge PERCENT", "the battery"},
             {"inject CODE", "the cause of a fault"}, {"clear CODE | all", "the cause goes"}, {"unplug [SECONDS]", "the cable"}, {"replug", "the cable"},
             {"power-cycle", "off and on"}, {"power-cut WRITE [BYTES]", "in its WRITE-th write to its memory from now, of which BYTES arrive"}, {"hang", "the firmware stands still"},
             {"halt", "stalls a pipe, once"}, {"link good | FAULTS...", "the cable: drop=P corrupt=P delay=P:MS ..."}, {"truth", "what really is the case"}),
     "mnctl sim inject 1401", cmd_sim},
};

enum { COMMAND_COUNT = sizeof(commands) / sizeof(commands[0]) };

static const struct help_option common_options[] = {
    {"--pen SERIAL", "which pen: its serial number, or the beginning of it; needed where there are several and one is changed"},
    {"--socket PATH", "of the daemon [$MN_SOCKET, else /run/mnd/mnd.sock]"},
    {"--json", "for programs: every figure, in um, dhz and us"},
    {"--timeout MS", "for each request, 1 to 60000 [2000]"},
    {NULL, NULL},
};

const struct command *command_by_name(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (same_word(commands[i].name, name))
            return &commands[i];
    }
    return NULL;
}

const char *command_nearest(const char *name)
{
    const char *names[COMMAND_COUNT + 2];

    for (size_t i = 0; i < COMMAND_COUNT; i++)
        names[i] = commands[i].name;
    names[COMMAND_COUNT] = "help";
    names[COMMAND_COUNT + 1] = "completion";
    return nearest(name, names, COMMAND_COUNT + 2);
}

/* ---- help ---- */

static void print_options(const struct help_option *options)
{
    size_t widest = 0;

    for (const struct help_option *o = options; o->word != NULL; o++)
        widest = strlen(o->word) > widest ? strlen(o->word) : widest;
    for (const struct help_option *o = options; o->word != NULL; o++)
        text_row(stdout, o->word, o->text, widest + 4 < 28 ? widest + 4 : 28);
}

void help_overview(void)
{
    static const char *const groups[] = {"Look", "Set up", "Treat", "Find out what is wrong", "For developers"};

    text_wrap(stdout, "mnctl - microneedling pens from the command line", 0, 0, text_page_columns());
    printf("\nusage: mnctl [options] COMMAND ...\n");
    for (int group = 0; group < GROUP_COUNT; group++) {
        printf("\n%s%s%s\n", colour(COLOUR_BOLD), groups[group], colour(COLOUR_NONE));
        for (size_t i = 0; i < COMMAND_COUNT; i++) {
            if ((int)commands[i].group == group)
                text_row(stdout, commands[i].name, commands[i].line, 14);
        }
    }
    printf("\n%sMore%s\n", colour(COLOUR_BOLD), colour(COLOUR_NONE));
    text_row(stdout, "help", "help COMMAND; help exit: the exit codes", 14);
    text_row(stdout, "completion", "completion bash: <TAB> for your shell", 14);
    printf("\n%sOptions of every command%s\n", colour(COLOUR_BOLD), colour(COLOUR_NONE));
    print_options(common_options);
    printf("\nTry: mnctl list, then mnctl watch\n");
}

static void help_exit(void)
{
    static const struct help_option codes[] = {
        {"0", "done"},
        {"1", "failed (and: a diff found a difference, doctor found something)"},
        {"2", "the words were wrong"},
        {"3", "mnd is not running, or its socket is not for you"},
        {"4", "no such pen, several to choose from, or it is not ready"},
        {"5", "refused: out of range, wrong state, a fault, changed by somebody else"},
        {"6", "no answer: timeout, or the pen or the daemon went away"},
        {NULL, NULL},
    };

    printf("%sExit codes of mnctl%s\n", colour(COLOUR_BOLD), colour(COLOUR_NONE));
    print_options(codes);
}

int help_of(const char *name)
{
    const struct command *c = command_by_name(name);
    char form[200];

    if (same_word(name, "exit")) {
        help_exit();
        return EXIT_OK;
    }
    if (same_word(name, "completion")) {
        text_wrap(stdout, "usage: mnctl completion bash\n\nPrints a script for the shell:\n  source <(mnctl completion bash)", 0, 0, text_page_columns());
        return EXIT_OK;
    }
    if (same_word(name, "help")) {
        help_overview();
        return EXIT_OK;
    }
    if (c == NULL && command_nearest(name) != NULL)
        return usage_error("there is no command %s; did you mean %s?", name, command_nearest(name));
    if (c == NULL)
        return usage_error("there is no command %s", name);
    for (const char *at = c->usage; *at != '\0'; at += strcspn(at, "\n"), at += *at == '\n') {
        snprintf(form, sizeof(form), "%s%.*s", at == c->usage ? "usage: mnctl " : "       mnctl ", (int)strcspn(at, "\n"), at);
        text_wrap(stdout, form, 0, 15, text_page_columns());
    }
    printf("\n");
    text_wrap(stdout, c->about != NULL ? c->about : c->line, 0, 0, text_page_columns());
    if (c->options != NULL) {
        printf("\n");
        print_options(c->options);
    }
    printf("\n");
    text_wrap(stdout, "Options of every command: --pen, --socket, --json, --timeout (mnctl help)", 0, 0, text_page_columns());
    printf("\nExample\n  ");
    text_wrap(stdout, c->example, 2, 4, text_page_columns());
    return EXIT_OK;
}

/* ---- completion ---- */

int print_completion(const char *shell)
{
    if (shell == NULL || !same_word(shell, "bash"))
        return usage_error("completion is there for bash: `mnctl completion bash`");
    puts("_mnctl()\n"
         "{\n"
         "  local cur=${COMP_WORDS[COMP_CWORD]} words\n"
         "  words=$(\"${COMP_WORDS[0]}\" complete \"${COMP_WORDS[@]:1:COMP_CWORD-1}\" \"$cur\" 2> /dev/null)\n"
         "  if [ \"$words\" = :file ]; then COMPREPLY=($(compgen -f -- \"$cur\")); return; fi\n"
         "  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
         "  [[ ${COMPREPLY-} == *[=:] ]] && compopt -o nospace\n"
         "  return 0\n"
         "}\n"
         "complete -F _mnctl mnctl");
    return EXIT_OK;
}

static void offer_serials(struct app *a)
{
    struct mn_pens pens = {0};

    if (app_connect_quietly(a) && mn_list(a->client, &pens, a->timeout_ms) == MN_OK) {
        for (size_t i = 0; i < pens.count; i++)
            printf("%s\n", pens.pen[i].serial);
    }
    mn_pens_free(&pens);
}

static void offer_faults(struct app *a)
{
    struct mn_pens pens = {0};

    if (app_connect_quietly(a) && mn_list(a->client, &pens, a->timeout_ms) == MN_OK) {
        for (size_t i = 0; i < pens.count; i++) {
            for (size_t bit = 0; bit < mn_fault_count(); bit++) {
                if (pens.pen[i].fault_word >> bit & 1)
                    printf("%u\n", mn_fault_at(bit)->code);
            }
        }
    }
    mn_pens_free(&pens);
}

static void offer_sessions(struct app *a)
{
    struct mn_sessions list = {0};

    if (app_connect_quietly(a) && mn_session_list(a->client, NULL, &list, a->timeout_ms) == MN_OK) {
        for (size_t i = 0; i < list.count && i < 10; i++)
            printf("%u\n", list.session[i].number);
    }
    mn_sessions_free(&list);
}

/* Offers the values of an option, or of a word that takes one. False if it takes none that are known. */
static bool offer_values(struct app *a, const char *command, const char *before)
{
    static const char *const files[] = {"--html", "--output", "--answers", "--pcapng", "--socket", "import", "export", "diff", "backup", "check", "plan"};

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        if (strcmp(before, files[i]) != 0)
            continue;
        puts(":file");
        return true;
    }
    if (strcmp(before, "--pen") == 0) {
        offer_serials(a);
    } else if (strcmp(before, "--zone") == 0) {
        for (size_t i = 0; i < mn_zone_count(); i++) {
            if (mn_zone_at(i)->cap_um > 0)
                printf("%s:\n", mn_zone_at(i)->name);
        }
    } else if (strcmp(before, "--indication") == 0 || strcmp(before, "guide") == 0) {
        for (size_t i = 0; i < mn_indication_count(); i++)
            puts(mn_indication_at(i)->name);
    } else if (strcmp(before, "--product") == 0) {
        for (size_t i = 0; i < mn_product_count(); i++)
            puts(mn_product_at(i)->name);
    } else if (strcmp(before, "--kind") == 0) {
        puts("boot\nfault\nconfig\nrun\nsession");
    } else if (strcmp(before, "--export") == 0) {
        puts("jsonl\ncsv");
    } else if (strcmp(before, "--since") == 0 || strcmp(before, "--until") == 0) {
        puts("today\nyesterday\nmonday\n1h\n1d\n1w");
    } else if (strcmp(before, "inject") == 0) {
        for (size_t i = 0; i < mn_fault_count(); i++)
            printf("%u\n", mn_fault_at(i)->code);
    } else if (strcmp(before, "clear") == 0) {
        offer_faults(a);
        if (strcmp(command, "sim") == 0)
            puts("all");
    } else if (strcmp(before, "trigger") == 0) {
        puts("press\nrelease");
    } else if (strcmp(before, "cartridge") == 0) {
        puts("insert\nremove");
    } else if (strcmp(command, "session") == 0 && (strcmp(before, "show") == 0 || strcmp(before, "aftercare") == 0 || strcmp(before, "event") == 0)) {
        offer_sessions(a);
    } else {
        return false;
    }
    return true;
}

static void offer_options(const struct help_option *options)
{
    for (const struct help_option *o = options; o != NULL && o->word != NULL; o++) {
        if (o->word[0] != 'F') /* FILE */
            printf("%.*s\n", (int)strcspn(o->word, " "), o->word);
    }
}

int complete(struct app *a, int argc, char **argv)
{
    const struct command *c = NULL;
    const char *before = argc > 2 ? argv[argc - 2] : "";
    size_t words = 0;

    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], "--pen") == 0 || strcmp(argv[i], "--socket") == 0 || strcmp(argv[i], "--timeout") == 0)
            i++;
        else if (argv[i][0] != '-' && words++ == 0)
            c = command_by_name(argv[i]);
    }
    if (offer_values(a, c != NULL ? c->name : "", before))
        return EXIT_OK;
    if (words == 0 || strcmp(before, "help") == 0) {
        for (size_t i = 0; i < COMMAND_COUNT; i++)
            puts(commands[i].name);
        puts(words == 0 ? "help\ncompletion" : "exit");
    }
    if (c != NULL)
        offer_options(c->options);
    if (c != NULL && strcmp(c->name, "config") == 0) {
        for (size_t i = 0; i < mn_setting_count(); i++)
            printf("%s=\n", mn_setting_at(i)->name);
    }
    offer_options(common_options);
    return EXIT_OK;
}
