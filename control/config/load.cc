#include "control/config/load.hh"

#include <cerrno>
#include <cstring>
#include <exception>
#include <fstream>

#include "control/config/reader.hh"
#include "control/config/sections.hh"
#include "control/config/validate.hh"
#include "control/config/yaml_tree.hh"

namespace sluice::config {
namespace {

constexpr std::array<Field<Config>, 17> kSections{{
    {"workers", [](const Value& v, Config& c) { read_workers(v, c.workers); }},
    {"memory", [](const Value& v, Config& c) { read_memory(v, c.memory); }},
    {"ipv6", [](const Value& v, Config& c) { read_ipv6(v, c.ipv6); }},
    {"ports", [](const Value& v, Config& c) { read_ports(v, c.ports); }, Need::required},
    {"routes", [](const Value& v, Config& c) { read_routes(v, c.routes); }},
    {"groups", [](const Value& v, Config& c) { read_groups(v, c.groups); }},
    {"conntrack", [](const Value& v, Config& c) { read_conntrack(v, c.conntrack); }},
    {"helpers", [](const Value& v, Config& c) { read_helpers(v, c.helpers); }},
    {"raw", [](const Value& v, Config& c) { read_raw(v, c.raw); }},
    {"filter", [](const Value& v, Config& c) { read_filter(v, c.filter); }},
    {"nat", [](const Value& v, Config& c) { read_nat(v, c.nat); }},
    {"punt", [](const Value& v, Config& c) { read_punt(v, c.punt); }},
    {"neighbours", [](const Value& v, Config& c) { read_neighbours(v, c.neighbours); }},
    {"fragments", [](const Value& v, Config& c) { read_fragments(v, c.fragments); }},
    {"metrics", [](const Value& v, Config& c) { read_metrics(v, c.metrics); }},
    {"control", [](const Value& v, Config& c) { read_control(v, c.control); }},
    {"log", [](const Value& v, Config& c) { read_log(v, c.log); }},
}};

ConfigResult load(std::string_view text, const std::string& source_name, KeyCoverage* coverage) {
    Findings findings{source_name, coverage};
    Config config;
    const YamlResult yaml = parse_yaml(text);
    if (!yaml.root) {
        findings.error(yaml.at, {}, yaml.message);
    } else if (yaml.root->kind == YamlNode::Kind::null) {
        findings.error(yaml.root->at, {}, "the configuration is empty");
    } else {
        read_map(Value{*yaml.root, findings}, kSections, config);
        validate(config, *yaml.root, findings);
    }
    ConfigResult result;
    result.errors = findings.take_errors();
    if (result.errors.empty()) result.config = std::move(config);
    return result;
}

ConfigResult failed(const std::string& source_name, std::string message) {
    return {std::nullopt, {{source_name, 0, 0, {}, std::move(message)}}};
}

/// What is left to throw is lack of memory; a load that fails for it leaves nothing behind.
ConfigResult load_guarded(std::string_view text, const std::string& source_name, KeyCoverage* coverage) {
    try {
        return load(text, source_name, coverage);
    } catch (const std::exception& error) {
        return failed(source_name, std::string{"cannot be loaded: "} + error.what());
    }
}

}  // namespace

ConfigResult load_config_text(std::string_view text, const std::string& source_name) {
    return load_guarded(text, source_name, nullptr);
}

ConfigResult load_config_text(std::string_view text, const std::string& source_name, KeyCoverage& coverage) {
    return load_guarded(text, source_name, &coverage);
}

ConfigResult load_config_file(const std::filesystem::path& file) {
    const std::string name = file.string();
    std::error_code ignored;
    if (std::filesystem::is_directory(file, ignored)) return failed(name, "cannot be read: it is a directory");
    errno = 0;
    std::ifstream stream{file, std::ios::binary};
    if (!stream) return failed(name, std::string{"cannot be read: "} + std::strerror(errno));
    // Read in parts up to the limit, and not by the size that the file system tells: a pipe has none, a device no end.
    std::string text;
    std::array<char, 65536> part{};
    while (stream && text.size() <= kMaxTextBytes) {
        stream.read(part.data(), part.size());
        text.append(part.data(), static_cast<std::size_t>(stream.gcount()));
    }
    if (stream.bad()) return failed(name, "cannot be read: input error");
    return load_config_text(text, name);
}

}  // namespace sluice::config
