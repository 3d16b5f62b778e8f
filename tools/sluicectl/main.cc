// sluicectl: the command line of sluiced. Talks HTTP to the control socket; `check` needs no daemon.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>

#include "tools/sluicectl/commands.hh"

namespace sluice::ctl {

void print(std::string_view text) {
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size())
        throw Failure(kFailure, std::string("cannot write: ") + std::strerror(errno));
}

void flush_output() {
    if (std::fflush(stdout) != 0) throw Failure(kFailure, std::string("cannot write: ") + std::strerror(errno));
}

}  // namespace sluice::ctl

namespace {

constexpr const char* kFooter = R"(
Exit codes: 0 done; 1 sluiced reported a failure, or nothing matched; 2 usage; 3 sluiced cannot be reached.

Examples:
  sluicectl conntrack -L -p tcp --dport 21      live FTP control connections
  sluicectl conntrack -D -s 192.168.1.10        forget all flows of a host
  sluicectl stats                               what was dropped, and why
  sluicectl check /etc/sluice/sluice.yaml && sluicectl reload
  sluicectl capture --port wan --filter 'tcp port 21' -w - | tcpdump -nr -

The API is plain HTTP: curl --unix-socket /run/sluice/control.sock http://sluiced/v1/rules)";

}  // namespace

int main(int argc, char** argv) try {
    using namespace sluice::ctl;
    Context context;
    CLI::App app("Looks at a running sluiced and commands it.", "sluicectl");
    app.footer(kFooter);
    app.option_defaults()->always_capture_default(false);
    app.add_option("--socket", context.socket_path, "control socket of sluiced (default " + context.socket_path + ")")
        ->envname("SLUICE_SOCKET")
        ->type_name("PATH");
    app.add_flag("--json", context.json, "JSON for programs instead of text for people");
    app.fallthrough();
    app.require_subcommand(1);
    add_conntrack_command(app, context);
    add_show_commands(app, context);
    add_capture_command(app, context);
    add_reload_command(app, context);
    add_check_command(app, context);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? kOk : kUsage;  // 0: --help
    }
    const ExitCode code = context.run();
    flush_output();
    return code;
} catch (const sluice::ctl::Failure& failure) {
    std::fprintf(stderr, "sluicectl: %s\n", failure.what());
    return failure.code;
} catch (const std::exception& error) {
    std::fprintf(stderr, "sluicectl: %s\n", error.what());
    return sluice::ctl::kFailure;
}
