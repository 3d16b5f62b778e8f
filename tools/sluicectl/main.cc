// sluicectl: the command line of sluiced. Talks HTTP to the control socket; `check` needs no daemon.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/error.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/system/system_error.hpp>

#include "control/config/reader.hh"
#include "tools/sluicectl/commands.hh"

namespace sluice::ctl {

void print(std::string_view text) {
    if (text.empty()) return;  // fwrite wants an object even for no bytes; an empty view has none
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size())
        throw Failure(kFailure, std::string("cannot write: ") + std::strerror(errno));
}

void flush_output() {
    if (std::fflush(stdout) != 0) throw Failure(kFailure, std::string("cannot write: ") + std::strerror(errno));
}

}  // namespace sluice::ctl

namespace {

constexpr const char* kFooter = R"(
Exit codes: 0 done; 1 sluiced reported a failure, or nothing matched; 2 usage; 3 sluiced cannot be reached;
4 (check --running) the file is valid but needs a restart.
What went wrong is said on stderr, with --json as an object: {"error": "..."}.

Examples:
  sluicectl conntrack -L -p tcp --dport 21      live FTP control connections
  sluicectl conntrack -D -s 192.168.1.10        forget all flows of a host
  sluicectl stats                               what was dropped, and why
  sluicectl check /etc/sluice/sluice.yaml && sluicectl reload
  sluicectl capture --port wan --filter 'tcp port 21' -w - | tcpdump -nr -

The API is plain HTTP: curl --unix-socket /run/sluice/control.sock http://sluiced/v1/rules)";

/// Index of the first word of the command line that is no option; argc when there is none.
int first_word(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        if (word == "--socket" || word == "--timeout") {
            ++i;
        } else if (!word.starts_with('-')) {
            return i;
        }
    }
    return argc;
}

/// The first word of the command line that is no option, when no command is called so.
std::string unknown_command(const CLI::App& app, int argc, char** argv) {
    if (!app.get_subcommands().empty()) return {};  // one was found; the mistake is behind it
    const int word = first_word(argc, argv);
    return word < argc ? argv[word] : std::string();
}

std::string complaint_about(const std::string& command, const CLI::App& app) {
    std::vector<std::string_view> known;
    for (const CLI::App* one : app.get_subcommands([](const CLI::App*) { return true; }))
        known.push_back(one->get_name());
    const std::string_view near = sluice::config::nearest_word(command, known);
    return "there is no command '" + command + "'" +
           (near.empty() ? std::string() : "; did you mean '" + std::string(near) + "'?") +
           " (sluicectl --help lists them)";
}

/// Whether --json is there, also behind a mistake that ends the parsing.
bool asks_for_json(int argc, char** argv) {
    return std::find(argv + 1, argv + argc, std::string_view("--json")) != argv + argc;
}

/// What CLI11 found wrong, and where there is help.
std::string complaint_about(const CLI::ParseError& error, const CLI::App& app) {
    std::string help = "sluicectl ";
    for (const CLI::App* chosen : app.get_subcommands()) help += chosen->get_name() + ' ';
    return std::string(error.what()) + " (" + help + "--help tells more)";
}

sluice::ctl::ExitCode run(int argc, char** argv, sluice::ctl::Context& context) {
    using namespace sluice::ctl;
    CLI::App app("Looks at a running sluiced and commands it.", "sluicectl");
    app.footer(kFooter);
    app.option_defaults()->always_capture_default(false);
    app.add_option("--socket", context.socket_path, "control socket of sluiced (default " + context.socket_path + ")")
        ->envname("SLUICE_SOCKET")
        ->type_name("PATH");
    app.add_option("--timeout", context.timeout_s,
                   "longest wait for sluiced to begin its answer (default 10, of a reload 60)")
        ->check(unsigned_number())
        ->check(CLI::Range(1U, 86400U))
        ->type_name("SECONDS");
    app.add_flag("--json", context.json, "JSON for programs instead of text for people");
    app.set_version_flag("--version", "sluicectl " SLUICE_VERSION, "print the version of sluicectl and exit");
    app.fallthrough();
    app.require_subcommand(1);
    add_conntrack_command(app, context);
    add_show_commands(app, context);
    add_cycles_command(app, context);
    add_capture_command(app, context);
    add_reload_command(app, context);
    add_check_command(app, context);
    // The words behind it are conntrack(8)'s own, which CLI11 would read otherwise.
    if (const int word = first_word(argc, argv); word < argc && argv[word] == std::string_view("conntrack")) {
        context.words.assign(argv + word + 1, argv + argc);
        argc = word + 1;
    }
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        if (error.get_exit_code() == 0) {  // --help or --version
            app.exit(error);
            return kOk;
        }
        const auto command = unknown_command(app, argc, argv);
        throw Failure(kUsage, command.empty() ? complaint_about(error, app) : complaint_about(command, app));
    }
    const ExitCode code = context.run();
    flush_output();
    return code;
}

/// Without the places in Boost's sources that what() tells.
std::string plain(const boost::system::system_error& error) {
    const auto code = error.code();
    const bool json = code.category() == boost::json::make_error_code(boost::json::error::syntax).category();
    return (json ? "sluiced's answer is not understood: " : "") + code.message();
}

/// What had been printed goes first; that it cannot be is no second complaint.
sluice::ctl::ExitCode report(const sluice::ctl::Failure& failure, bool as_json) {
    std::fflush(stdout);
    if (!as_json)
        std::fprintf(stderr, "sluicectl: %s\n", failure.what());
    else if (failure.json.empty())
        std::fprintf(stderr, "%s\n", boost::json::serialize(boost::json::object{{"error", failure.what()}}).c_str());
    else
        std::fputs(failure.json.c_str(), stderr);
    return failure.code;
}

}  // namespace

int main(int argc, char** argv) {
    using sluice::ctl::Failure;
    sluice::ctl::Context context;
    context.json = asks_for_json(argc, argv);
    try {
        return run(argc, argv, context);
    } catch (const Failure& failure) {
        return report(failure, context.json);
    } catch (const boost::system::system_error& error) {
        return report(Failure(sluice::ctl::kFailure, plain(error)), context.json);
    } catch (const std::logic_error&) {  // of boost::json: at(), as_array() and the like
        return report(Failure(sluice::ctl::kFailure, "sluiced's answer lacks what belongs into it"), context.json);
    } catch (const std::exception& error) {
        return report(Failure(sluice::ctl::kFailure, error.what()), context.json);
    }
}
