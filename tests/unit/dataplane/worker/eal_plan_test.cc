// From options and machine facts to EAL arguments: every refusal names the setting to change.
#include "dataplane/worker/eal_plan.hh"

#include <algorithm>
#include <fstream>
#include <unistd.h>

#include <catch2/catch.hpp>

using namespace sluice;
using Catch::Matchers::Contains;

namespace {

MachineFacts machine() {
    return {{0, 1, 2}, 1024ULL << 20, 4096ULL << 20};
}
EalOptions options() {
    EalOptions o;
    o.worker_cores = {1, 2};
    return o;
}
bool has(const EalPlan& plan, const std::string& word) {
    return std::find(plan.arguments.begin(), plan.arguments.end(), word) != plan.arguments.end();
}

}  // namespace

TEST_CASE("hugepages are used when enough of them are free") {
    const EalPlan plan = plan_eal(options(), machine());
    REQUIRE(plan.problem.empty());
    CHECK(plan.hugepages);
    CHECK(plan.remark.empty());
    CHECK_FALSE(has(plan, "--no-huge"));
    CHECK(has(plan, "--in-memory"));
    CHECK(has(plan, "--single-file-segments"));  // else every page takes a descriptor
    CHECK(has(plan, "--no-telemetry"));
    CHECK(has(plan, "--no-pci"));
    CHECK(has(plan, "0@0,1@1,2@2"));
}

TEST_CASE("one megabyte too few of hugepages falls back to ordinary pages and says so") {
    auto facts = machine();
    facts.free_hugepage_bytes -= 1;
    const EalPlan plan = plan_eal(options(), facts);
    REQUIRE(plan.problem.empty());
    CHECK_FALSE(plan.hugepages);
    CHECK(has(plan, "--no-huge"));
    CHECK(has(plan, "--no-shconf"));
    CHECK_FALSE(has(plan, "--in-memory"));  // DPDK refuses the two together
    CHECK_THAT(plan.remark, Contains("1023 MB of hugepages"));
}

TEST_CASE("hugepages off is obeyed without a remark") {
    auto o = options();
    o.hugepages = Hugepages::off;
    const EalPlan plan = plan_eal(o, machine());
    REQUIRE(plan.problem.empty());
    CHECK(has(plan, "--no-huge"));
    CHECK(plan.remark.empty());
}

TEST_CASE("too little memory of either kind is refused with both figures") {
    auto facts = machine();
    facts.free_hugepage_bytes = 10ULL << 20;
    facts.available_memory_bytes = 500ULL << 20;
    CHECK_THAT(plan_eal(options(), facts).problem, Contains("500 MB") && Contains("10 MB"));
}

TEST_CASE("a core that the process may not use is refused by number") {
    auto o = options();
    o.worker_cores = {1, 7};
    CHECK_THAT(plan_eal(o, machine()).problem, Contains("core 7") && Contains("0, 1, 2"));
    o.worker_cores = {1, 1};
    CHECK_THAT(plan_eal(o, machine()).problem, Contains("core 1 is named twice"));
    o.worker_cores = {0};
    CHECK_THAT(plan_eal(o, machine()).problem, Contains("core 0 is named twice"));
    o.worker_cores = {};
    CHECK_THAT(plan_eal(o, machine()).problem, Contains("workers.cores is empty"));
}

TEST_CASE("only the configured PCI devices are touched") {
    auto o = options();
    o.pci_devices = {"0000:03:00.0", "0000:03:00.1,iavf=1"};
    const EalPlan plan = plan_eal(o, machine());
    REQUIRE(plan.problem.empty());
    CHECK_FALSE(has(plan, "--no-pci"));
    CHECK(has(plan, "0000:03:00.0"));
    CHECK(has(plan, "0000:03:00.1,iavf=1"));

    auto facts = machine();
    facts.free_hugepage_bytes = 0;
    CHECK_THAT(plan_eal(o, facts).problem, Contains("vm.nr_hugepages"));
}

TEST_CASE("a limit on vector width is passed on only when given") {
    auto o = options();
    CHECK_FALSE(has(plan_eal(o, machine()), "--force-max-simd-bitwidth=512"));
    o.simd_bits = 512;
    CHECK(has(plan_eal(o, machine()), "--force-max-simd-bitwidth=512"));
}

TEST_CASE("facts are the sum over page sizes; what is absent is zero") {
    namespace fs = std::filesystem;
    const fs::path root = fs::temp_directory_path() / ("sluice-eal-plan-" + std::to_string(getpid()));
    const auto write = [&](const char* file, const char* text) {
        fs::create_directories((root / file).parent_path());
        std::ofstream(root / file) << text;
    };
    CHECK(read_machine_facts(root).free_hugepage_bytes == 0);
    CHECK(read_machine_facts(root).available_memory_bytes == 0);
    write("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "3\n");
    write("sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages", "2\n");
    write("sys/kernel/mm/hugepages/unrelated/free_hugepages", "9\n");
    write("proc/meminfo", "MemTotal: 9 kB\nMemFree: 8 kB\nMemAvailable:       7 kB\n");
    const MachineFacts facts = read_machine_facts(root);
    CHECK(facts.free_hugepage_bytes == (3ULL << 21) + (2ULL << 30));
    CHECK(facts.available_memory_bytes == 7 * 1024);
    CHECK_FALSE(facts.usable_cpus.empty());
    fs::remove_all(root);
}
