// A whole box but for its workers, which do not run: the test writes their counters, and nothing changes by itself.
#pragma once

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include <boost/asio/io_context.hpp>

#include "control/app/live_box.hh"
#include "control/app/settings.hh"
#include "control/config/load.hh"

namespace sluice::test {

inline const std::string kPolicy =
    "filter:\n"
    "  forward:\n"
    "    policy: drop\n"
    "    rules:\n"
    "      - {in: lan, out: wan, proto: tcp, action: accept, comment: out}\n"
    "nat:\n"
    "  - {out: wan, src: 192.0.2.0/24, snat: {to: 203.0.113.8-203.0.113.11}, comment: pool}\n"
    "  - {in: wan, dst: 203.0.113.1, proto: tcp, dport: 8080, dnat: {to: 192.0.2.10, port: 80}}\n";

inline std::string configuration(const std::string& lan_address = "192.0.2.1/24", const std::string& policy = kPolicy,
                                 const std::string& more = "") {
    return "workers: {cores: [1], main: 0}\n"
           "memory: {hugepages: off, megabytes: 512}\n"
           "conntrack: {max: 1024}\n"
           "metrics: {listen: off}\n"
           "ports:\n"
           "  - {name: lan, device: net_ring_lan, mac: \"02:00:00:00:00:01\", role: inside, tap: lan0, addresses: [" +
           lan_address +
           "]}\n"
           "  - {name: wan, device: net_ring_wan, mac: \"02:00:00:00:00:02\", role: outside, tap: wan0, addresses: "
           "[203.0.113.1/24]}\n"
           "  - {name: dmz, parent: wan, vlan: 20, role: inside, tap: dmz0}\n" +
           more + policy;
}

class LiveRoom {
    struct Directory {
        std::filesystem::path path;
        Directory() {
            std::string name = std::filesystem::temp_directory_path() / "sluice-live-XXXXXX";
            if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
            path = name;
        }
        Directory(const Directory&) = delete;
        Directory& operator=(const Directory&) = delete;
        ~Directory() { std::filesystem::remove_all(path); }
    };

    static config::Config load(const std::string& text) {
        auto loaded = config::load_config_text(text, "test");
        if (!loaded.ok()) throw std::runtime_error(config::to_string(loaded.errors.front()));
        return std::move(*loaded.config);
    }
    static CompileTarget target_of(const config::Config& config) {
        const LcoreSizes sizes = app::lcore_sizes(config);
        return {1, sizes.flows, sizes.expectations};
    }

    Directory directory_;

public:
    const std::filesystem::path file = directory_.path / "sluice.yaml";
    config::Config config = load(configuration());
    boost::asio::io_context io;
    app::Machine machine{config, {}};
    CompileTarget target = target_of(config);
    PolicyPublisher publisher{io, machine.grace, target, config};
    app::Engine engine{machine, config, publisher.publication()};
    app::KernelSide kernel{io, machine, engine, config};
    Ageing ageing{engine.ageing_workers(), machine.clock.now().ms, [](unsigned, const Notice&) {}};
    std::vector<metrics::Listener> listeners{{.name = "control", .accepted = 7}};
    std::unique_ptr<app::LiveBox> box = new_box();

    LiveRoom() { kernel.start(); }

    std::unique_ptr<app::LiveBox> new_box() {
        return std::make_unique<app::LiveBox>(app::LiveBox::Parts{io, machine, engine, kernel, publisher, ageing, file,
                                                                  "1.2.3", target, [this] { return listeners; }});
    }
    void write(const std::string& text) const { std::ofstream(file) << text; }

    /// Lets the control thread run until `done`; false after 10 s.
    bool until(const std::function<bool()>& done) {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
        while (!done()) {
            if (std::chrono::steady_clock::now() > deadline) return false;
            io.restart();
            io.run_one_for(std::chrono::milliseconds(20));
        }
        return true;
    }
    api::ReloadResult reload() {
        std::optional<api::ReloadResult> result;
        box->reload([&](const api::ReloadResult& r) { result = r; });
        if (!until([&] { return result.has_value(); })) throw std::runtime_error("no answer to reload");
        return *result;
    }
    api::CheckResult check(const std::string& text) {
        std::optional<api::CheckResult> result;
        box->check(text, [&](const api::CheckResult& found) { result = found; });
        if (!until([&] { return result.has_value(); })) throw std::runtime_error("no answer to check");
        return *result;
    }
    WorkerCounters& counters() { return engine.lcores()[0]->counters; }
};

extern LiveRoom* the_room;

}  // namespace sluice::test
