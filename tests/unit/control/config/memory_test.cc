#include "control/config/memory.hh"

#include <catch2/catch.hpp>

#include "control/config/load.hh"
#include "dataplane/lookup/flow_room.hh"

using namespace sluice;
using namespace sluice::config;
using Catch::Contains;

namespace {

ConfigResult load(const std::string& memory, const std::string& rest = {}) {
    return load_config_text(
        "ports: [{name: lan, device: 'net_af_xdp0,iface=l1', role: inside}]\nmemory: " + memory + '\n' + rest, "box");
}

}  // namespace

TEST_CASE("memory that can never do is refused, and the answer says how much would") {
    const ConfigResult least = load("{megabytes: 1024}");
    REQUIRE(least.ok());
    const std::uint64_t need = memory_need(*least.config).megabytes();
    CHECK(need > 256);  // of which there were starts that failed
    CHECK(need < 512);
    CHECK(load("{megabytes: " + std::to_string(need) + "}").ok());
    const ConfigResult refused = load("{megabytes: " + std::to_string(need - 1) + "}");
    REQUIRE(refused.errors.size() == 1);
    CHECK(refused.errors[0].path == "memory.megabytes");
    CHECK(refused.errors[0].line == 2);
    CHECK_THAT(refused.errors[0].message, Contains(" is too little: at least " + std::to_string(need) + " are needed"));
}

TEST_CASE("what needs memory: IPv6, flows, workers, frames and packets that wait") {
    const auto need = [](const std::string& rest) {
        const ConfigResult result = load("{megabytes: 1048576}", rest);
        REQUIRE(result.ok());
        return memory_need(*result.config);
    };
    const MemoryNeed plain = need("");
    CHECK(need("ipv6: on").routes == plain.routes + 112);
    CHECK(need("conntrack: {max: 64}").flows == 1);
    CHECK(need("conntrack: {max: 4194304}").flows > 4 * 320);
    CHECK(need("ipv6: on\nconntrack: {max: 4194304}").flows > need("conntrack: {max: 4194304}").flows);
    CHECK(need("fragments: {max: 65536}").buffers > plain.buffers);
    const MemoryNeed three = need("workers: {cores: [1, 2, 3]}");
    CHECK(three.buffers > plain.buffers);
    CHECK(three.rings > plain.rings);
    CHECK_FALSE(load("{megabytes: 1024}", "conntrack: {max: 134217728}").ok());
}

TEST_CASE("a flow takes what docs/performance.md says, without the wheel's part") {
    constexpr std::uint32_t kMillion = 1000000;
    CHECK(flow_store_bytes(kMillion, false, true) / kMillion == 344);
    CHECK(flow_store_bytes(kMillion, true, true) / kMillion == 344 + sizeof(FlowHigh));
}

TEST_CASE("conntrack.max: auto never takes more than there is, whatever hash tables round to") {
    Config config = *load("{megabytes: 1024}").config;
    for (const Ipv6Mode ipv6 : {Ipv6Mode::off, Ipv6Mode::on})
        for (const unsigned workers : {1U, 2U, 3U, 5U, 8U})
            for (std::uint32_t more = 16; more < 65536; more += 1 + more / 7) {
                config.ipv6 = ipv6;
                config.workers.cores.resize(workers);
                config.conntrack.max.reset();
                config.memory.megabytes = static_cast<std::uint32_t>(memory_need(config).fixed()) + more;
                config.conntrack.max = flows_of_memory(config);
                INFO(workers << " workers, " << more << " MB more: " << to_string(memory_need(config)));
                REQUIRE(memory_need(config).megabytes() <= config.memory.megabytes);
            }
}
