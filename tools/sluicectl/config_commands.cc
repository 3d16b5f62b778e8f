// reload and check.
#include <array>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <spdlog/fmt/fmt.h>

#include "control/config/load.hh"
#include "control/config/yaml_tree.hh"
#include "tools/sluicectl/commands.hh"

namespace sluice::ctl {
namespace {

namespace json = boost::json;

ExitCode reload(const Context& context) {
    // A reload builds the whole policy; a large one may take a while.
    const Call call{.method = http::verb::post, .target = "/v1/reload", .begin = std::chrono::minutes(1)};
    const std::string body = context.client().body_of(call);
    print(context.json ? body
                       : fmt::format("reloaded; policy generation {}\n",
                                     json::parse(body).at("generation").to_number<std::uint64_t>()));
    return kOk;
}

/// No more than the loader would look at.
std::string read_all(std::istream& from) {
    std::string text;
    std::array<char, 65536> part{};
    while (from && text.size() <= config::kMaxTextBytes) {
        from.read(part.data(), part.size());
        text.append(part.data(), static_cast<std::size_t>(from.gcount()));
    }
    return text;
}

struct CheckOptions {
    std::string file;
    bool running = false;
};

/// What of a valid configuration a reload would be refused for, as the running sluiced sees it.
json::array restart_needed(const Context& context, std::string text) {
    const std::string body =
        context.client().body_of({.method = http::verb::post, .target = "/v1/check", .body = std::move(text)});
    return json::parse(body).at("restart_needed").as_array();
}

/// Local: works without a daemon, with the code that the daemon uses.
ExitCode check(const Context& context, const CheckOptions& options) {
    const bool from_stdin = options.file == "-";
    const std::string name = from_stdin ? "stdin" : options.file;
    std::string text = from_stdin ? read_all(std::cin) : std::string();
    const auto result = from_stdin ? config::load_config_text(text, name) : config::load_config_file(name);
    json::object answer;
    json::array issues;
    for (const auto& error : result.errors)
        issues.push_back(json::object{{"file", error.file},
                                      {"line", error.line},
                                      {"column", error.column},
                                      {"path", error.path},
                                      {"message", error.message}});
    answer["issues"] = std::move(issues);
    json::array restart;
    if (options.running && result.ok()) {
        if (!from_stdin) {
            std::ifstream file(name, std::ios::binary);
            text = read_all(file);
        }
        restart = restart_needed(context, std::move(text));
        answer["restart_needed"] = restart;
    }
    if (context.json) {
        print(json::serialize(answer) + '\n');
    } else if (result.ok()) {
        print(name + ": OK\n");
        for (const auto& what : restart) print(std::string(what.as_string()) + '\n');
    } else {
        for (const auto& error : result.errors) std::fprintf(stderr, "%s\n", config::to_string(error).c_str());
    }
    if (!result.ok()) return kFailure;
    return restart.empty() ? kOk : kRestart;
}

}  // namespace

void add_reload_command(CLI::App& app, Context& context) {
    auto* command = app.add_subcommand("reload", "Makes sluiced read its configuration file again, all or nothing.");
    command->callback([&context] { context.run = [&context] { return reload(context); }; });
}

void add_check_command(CLI::App& app, Context& context) {
    const auto options = std::make_shared<CheckOptions>();
    auto* command = app.add_subcommand("check", "Checks a configuration file; needs no sluiced.");
    command->add_option("file", options->file, "the YAML file, - for stdin")->required()->type_name("FILE");
    command->add_flag("--running", options->running,
                      "also ask the running sluiced what of a valid file needs a restart, so that a reload is refused");
    command->footer(
        "\nPrints file:line:column, path and message of every mistake; exit code 1 if there is one.\n"
        "With --running: exit code 4 if the file is valid and a reload would refuse it.");
    command->callback([&context, options] { context.run = [&context, options] { return check(context, *options); }; });
}

}  // namespace sluice::ctl
