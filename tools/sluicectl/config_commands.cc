// reload and check.
#include <array>
#include <cstdio>
#include <iostream>
#include <memory>

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
    const Call call{.method = http::verb::post, .target = "/v1/reload", .silence = std::chrono::minutes(5)};
    const std::string body = context.client().body_of(call);
    print(context.json ? body
                       : fmt::format("reloaded; policy generation {}\n",
                                     json::parse(body).at("generation").to_number<std::uint64_t>()));
    return kOk;
}

/// As from a file: no more than the loader would look at.
config::ConfigResult load_stdin() {
    std::string text;
    std::array<char, 65536> part{};
    while (std::cin && text.size() <= config::kMaxTextBytes) {
        std::cin.read(part.data(), part.size());
        text.append(part.data(), static_cast<std::size_t>(std::cin.gcount()));
    }
    return config::load_config_text(text, "stdin");
}

/// Local: works without a daemon, with the code that the daemon uses.
ExitCode check(const Context& context, const std::string& file) {
    const auto result = file == "-" ? load_stdin() : config::load_config_file(file);
    if (context.json) {
        json::array issues;
        for (const auto& error : result.errors)
            issues.push_back(json::object{{"file", error.file},
                                          {"line", error.line},
                                          {"column", error.column},
                                          {"path", error.path},
                                          {"message", error.message}});
        print(json::serialize(json::object{{"issues", std::move(issues)}}) + '\n');
    } else if (result.ok()) {
        print((file == "-" ? "stdin" : file) + ": OK\n");
    } else {
        for (const auto& error : result.errors) std::fprintf(stderr, "%s\n", config::to_string(error).c_str());
    }
    return result.ok() ? kOk : kFailure;
}

}  // namespace

void add_reload_command(CLI::App& app, Context& context) {
    auto* command = app.add_subcommand("reload", "Makes sluiced read its configuration file again, all or nothing.");
    command->callback([&context] { context.run = [&context] { return reload(context); }; });
}

void add_check_command(CLI::App& app, Context& context) {
    const auto file = std::make_shared<std::string>();
    auto* command = app.add_subcommand("check", "Checks a configuration file; needs no sluiced.");
    command->add_option("file", *file, "the YAML file, - for stdin")->required()->type_name("FILE");
    command->footer("\nPrints file:line:column, path and message of every mistake; exit code 1 if there is one.");
    command->callback([&context, file] { context.run = [&context, file] { return check(context, *file); }; });
}

}  // namespace sluice::ctl
