# For scripts that test what a person types: $suite is the tests' first name, $dir a folder. TAP.
n=0
fail() { echo "not ok $n - $suite.$1"; echo "# code $code, wanted $2"; sed 's/^/# out: /' "$dir/out"; sed 's/^/# err: /' "$dir/err"; }
# says NAME CODE PATTERN COMMAND...: the command returns CODE, and PATTERN is in what it says (out or err).
says() {
    local name=$1 want=$2 pattern=$3; shift 3
    n=$((n + 1))
    "$@" > "$dir/out" 2> "$dir/err"; code=$?
    if [ $code = "$want" ] && { [ -z "$pattern" ] || cat "$dir/out" "$dir/err" | grep -qE -- "$pattern"; }; then echo "ok $n - $suite.$name"; else fail "$name" "$want: $pattern"; fi
}

# plan SUBJECT ZONE: a plan that nothing speaks against, on stdout.
plan() { mnctl session plan --subject "$1" --zone "$2" --waive-numbing "a test" | sed 's/answer: ""/answer: "no"/'; }
