// The commands of sluicectl. Each adds its CLI11 subcommand, which sets `run` when it was chosen; main() then runs it.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "tools/sluicectl/client.hh"

namespace sluice::ctl {

/// What all commands share: the global options and the choice.
struct Context {
    std::string socket_path = "/run/sluice/control.sock";
    bool json = false;
    unsigned timeout_s = 0;          ///< longest wait for an answer to begin; 0: as each command does
    std::vector<std::string> words;  ///< behind `conntrack`, which reads them itself
    std::function<ExitCode()> run;

    [[nodiscard]] Client client() const { return Client(socket_path, std::chrono::seconds(timeout_s)); }
};

void add_conntrack_command(CLI::App& app, Context& context);  ///< conntrack, proc
void add_show_commands(CLI::App& app,
                       Context& context);  ///< rules, nat, ports, stats, expectations, config, version, metrics
void add_reload_command(CLI::App& app, Context& context);
void add_check_command(CLI::App& app, Context& context);
void add_capture_command(CLI::App& app, Context& context);
void add_cycles_command(CLI::App& app, Context& context);

/// For options whose numbers have no sign: strtoull takes -1 for the largest of all. Before the check of the range.
[[nodiscard]] inline CLI::Validator unsigned_number() {
    return {[](std::string& text) {
                const auto first = text.find_first_not_of(" \t");
                const bool is_signed = first != std::string::npos && (text[first] == '-' || text[first] == '+');
                return is_signed ? text + " is no number without a sign" : std::string();
            },
            ""};
}

/// Writes to stdout; a failure (disk full, say) is a Failure, not silence.
void print(std::string_view text);
void flush_output();

}  // namespace sluice::ctl
