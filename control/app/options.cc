#include "control/app/options.hh"

#include <csignal>
#include <iostream>
#include <stdexcept>
#include <utility>

#include <CLI/CLI.hpp>
#include <spdlog/spdlog.h>

#include "control/app/daemon.hh"
#include "control/app/settings.hh"
#include "control/app/start_signals.hh"
#include "control/config/load.hh"
#include "control/config/print.hh"
#include "control/linux/rights.hh"
#include "control/logging/log.hh"

namespace sluice::app {

namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;

}  // namespace

std::variant<Options, int> parse_options(int argc, const char* const* argv, const std::string& version) {
    Options options;
    CLI::App app{"sluiced: stateful firewall and NAT on DPDK"};
    app.add_option("-c,--config", options.config_file, "configuration file")->capture_default_str();
    app.add_flag("--check", options.check, "validate the configuration, print what is wrong with it, and exit");
    app.add_flag("--print", options.print, "print the effective configuration, defaults filled in, and exit");
    app.add_option("--log-level", options.log_level, "instead of the configuration's log.level")
        ->check(CLI::IsMember({"trace", "debug", "info", "warning", "error"}));
    app.set_version_flag("--version", "sluiced " + version);
    app.footer("SIGHUP reloads the configuration, SIGTERM ends.\nExit status: 0 fine, 1 failed, 2 usage.");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        if (error.get_exit_code() == 0) return app.exit(error);  // --help or --version
        std::cerr << "sluiced: " << error.what() << " (sluiced --help tells more)\n";
        return kUsage;
    }
    return options;
}

int run_sluiced(int argc, const char* const* argv, const std::string& version) {
    const auto parsed = parse_options(argc, argv, version);
    if (const int* status = std::get_if<int>(&parsed)) return *status;
    const auto& options = std::get<Options>(parsed);

    auto loaded = config::load_config_file(options.config_file);
    if (!loaded.ok()) {
        for (const auto& error : loaded.errors) std::cerr << config::to_string(error) << '\n';
        return kFailed;
    }
    if (options.print) std::cout << config::to_yaml(*loaded.config);
    if (options.check && !options.print) std::cout << options.config_file << ": valid\n";
    if (options.check || options.print) return 0;

    // A reader of the log, or a client, who goes away is an error of write() and no reason to die.
    std::signal(SIGPIPE, SIG_IGN);
    logging::set_up(logging::detect_target());
    (void)logging::set_level(options.log_level.empty() ? level_name(loaded.config->log.level)
                                                       : std::string_view(options.log_level));
    if (const auto failure = missing_rights(effective_capabilities())) {
        spdlog::critical("{}", failure->text);
        return kFailed;
    }
    try {
        Daemon daemon(*loaded.config, options.config_file, version);
        daemon.run();
    } catch (const StartInterrupted& interrupted) {
        spdlog::info("the start was ended by signal {}", interrupted.signal);
    } catch (const std::exception& error) {
        spdlog::critical("{}", error.what());
        return kFailed;
    }
    spdlog::info("ended");
    return 0;
}

}  // namespace sluice::app
