// Mark and sweep with events in between.
#include "control/linux/mirror.hh"

#include <string>
#include <vector>

#include <catch2/catch.hpp>

using sluice::Mirror;

namespace {

using Table = Mirror<int, std::string>;

std::vector<std::string> sweep_all(Table& table) {
    std::vector<std::string> withdrawn;
    while (!table.sweep(1, [&](const std::string& value) { withdrawn.push_back(value); })) {
    }
    return withdrawn;
}

}  // namespace

TEST_CASE("what a second dump does not mention is withdrawn") {
    Table table;
    table.begin_dump();
    for (int i = 0; i < 5; ++i) CHECK(table.put_from_dump(i, std::to_string(i)));
    table.end_dump();
    CHECK(sweep_all(table).empty());

    table.begin_dump();
    CHECK_FALSE(table.put_from_dump(1, "1"));
    CHECK(table.put_from_dump(3, "three"));
    table.end_dump();
    CHECK(sweep_all(table) == std::vector<std::string>{"0", "2", "4"});
    CHECK(table.size() == 2);
    CHECK(*table.find(3) == "three");
}

TEST_CASE("an event during a dump is newer than what the dump says") {
    Table table;
    table.begin_dump();
    CHECK(table.put_from_event(1, "new"));
    CHECK_FALSE(table.put_from_dump(1, "old"));
    CHECK(*table.find(1) == "new");
}

TEST_CASE("what an event removed is not brought back by the dump, but by another event") {
    Table table;
    table.begin_dump();
    CHECK_FALSE(table.erase_from_event(1));
    CHECK_FALSE(table.put_from_dump(1, "old"));
    CHECK(table.find(1) == nullptr);
    CHECK(table.put_from_event(1, "again"));
    table.end_dump();
    CHECK(sweep_all(table).empty());
    CHECK(*table.find(1) == "again");
}

TEST_CASE("after the dump a removal is only a removal") {
    Table table;
    table.begin_dump();
    table.put_from_dump(1, "one");
    table.end_dump();
    CHECK(table.erase_from_event(1) == "one");
    table.begin_dump();
    CHECK(table.put_from_dump(1, "one"));
}

TEST_CASE("events between the slices of a sweep") {
    Table table;
    for (int i = 0; i < 6; ++i) table.put_from_event(i, std::to_string(i));
    table.begin_dump();
    table.end_dump();
    std::vector<std::string> withdrawn;
    const auto note = [&](const std::string& value) { withdrawn.push_back(value); };
    CHECK_FALSE(table.sweep(2, note));
    table.erase_from_event(2);
    table.put_from_event(3, "3");
    CHECK_FALSE(table.sweep(2, note));
    CHECK(table.sweep(2, note));
    CHECK(withdrawn == std::vector<std::string>{"0", "1", "4", "5"});
    CHECK(table.size() == 1);
}

TEST_CASE("a repeated value is no change") {
    Table table;
    CHECK(table.put_from_event(1, "one"));
    CHECK_FALSE(table.put_from_event(1, "one"));
    CHECK(table.put_from_event(1, "two"));
}
