# For scripts that test what a person types: $suite is the tests' first name, $dir a folder. TAP.
n=0
fail() { echo "not ok $n - $suite.$1"; echo "# code $code, wanted $2"; sed 's/^/# out: /' "$dir/out"; sed 's/^/# err: /' "$dir/err"; }
# says NAME CODE PATTERN COMMAND...: the command returns CODE, and PATTERN is in what it says (out or err).
said() {
    local want=$1 pattern=$2; shift 2
    "$@" > "$dir/out" 2> "$dir/err"; code=$?
    [ $code = "$want" ] && { [ -z "$pattern" ] || cat "$dir/out" "$dir/err" | grep -qE -- "$pattern"; }
}
judged() { n=$((n + 1)); if [ $1 = 0 ]; then echo "ok $n - $suite.$2"; else fail "$2" "$3: $4"; fi }
says() { local name=$1; shift; said "$@"; judged $? "$name" "$@"; }
# soon NAME CODE PATTERN COMMAND...: the same within 20 s, for what a pen has to see first: the command is given again and again.
soon() {
    local name=$1 good end=$((SECONDS + 20)); shift
    until said "$@"; good=$?; [ $good = 0 ] || [ $SECONDS -gt $end ]; do sleep 0.05; done
    judged $good "$name" "$@"
}

# plan SUBJECT ZONE: a plan that nothing speaks against, on stdout.
plan() { mnctl session plan --subject "$1" --zone "$2" --waive-numbing "a test" | sed 's/answer: ""/answer: "no"/'; }
